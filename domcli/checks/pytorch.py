"""PyTorch and torchvision, asked in a process of their own: importing them takes seconds, and may crash."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domcli.checks.check import Check, plural
from domcli.checks.software import is_enough, pip
from domcli.memory import lacking_memory_in

PATIENCE_SECONDS = 180.0
SLOW_IMPORT_SECONDS = 20.0
MARK = "domcli-probe:"
STAGES = {"torch": "importing PyTorch", "torchvision": "importing torchvision", "cuda": "using the GPU"}
PROBE = f"""
import json, sys, time, warnings

def tell(**facts):
    sys.stdout.write(chr(10) + {MARK!r} + json.dumps(facts) + chr(10))
    sys.stdout.flush()

def attempt(stage, look):
    tell(stage=stage)
    try:
        found = look()
    except BaseException as error:
        said = []
        while error is not None:
            said.append(type(error).__name__ + ": " + str(error).strip())
            error = error.__cause__ or error.__context__
        tell(stage=stage, error=chr(10).join(said))
        return False
    tell(stage=stage, found=found)
    return True

def look_at_torch():
    begun = time.monotonic()
    import torch
    return dict(version=str(torch.__version__), cuda=torch.version.cuda, import_seconds=time.monotonic() - begun)

def look_at_torchvision():
    import torch, torchvision
    torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    return dict(version=str(torchvision.__version__))

def look_at_cuda():
    import torch
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = dict(devices=torch.cuda.device_count() if torch.cuda.is_available() else 0)
    found["warnings"] = [str(one.message).strip().splitlines()[0] for one in heard]
    if found["devices"]:
        found["bfloat16"] = torch.cuda.is_bf16_supported(including_emulation=False)
        ones = torch.ones(64, 64, device="cuda")
        if float((ones @ ones).sum()) != 64.0 ** 3:
            raise RuntimeError("the GPU computes wrong numbers")
    return found

if attempt("torch", look_at_torch):
    attempt("torchvision", look_at_torchvision)
    attempt("cuda", look_at_cuda)
"""


@dataclass(frozen=True)
class Report:
    """What was found in each stage of the probe (see STAGES), or the error that ended the stage."""

    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """The first line is for people; the others are the rest of its message, and what the error came from."""

    def error(self, stage: str) -> str:
        """Return the error of a stage in one line."""
        return self.errors.get(stage, "not known").split("\n")[0]


class Probe:
    """A process that tries torch and torchvision; begun early, asked for its report when that is wanted."""

    def __init__(
        self,
        environment: Mapping[str, str],
        command: Sequence[str] = (sys.executable, "-c", PROBE),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Begin. `environment` are the variables of a trainer; `patience` in seconds from now."""
        self._deadline = time.monotonic() + patience
        self._patience = patience
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment)
        )

    def report(self) -> Report:
        """Wait for the process and return what it found."""
        try:
            output, _ = self._process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
            return parse(output.decode(errors="replace"), _ending(self._process.returncode))
        except subprocess.TimeoutExpired:
            self._process.kill()
        output = b""
        # A child of the process that still holds the pipe is not waited for.
        with contextlib.suppress(subprocess.TimeoutExpired):
            output, _ = self._process.communicate(timeout=1.0)
        return parse(output.decode(errors="replace"), f"did not answer within {self._patience:g} s")

    def close(self) -> None:
        """End the process if it still runs."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def parse(output: str, ending: str) -> Report:
    """Return what the lines of a probe say; a stage that was begun and not ended is an error, told by `ending`."""
    found: dict[str, Mapping[str, Any]] = {}
    errors: dict[str, str] = {}
    begun, said = "torch", []
    for line in output.splitlines():
        if not line.startswith(MARK):
            said += [line.strip()] if line.strip() else []
            continue
        message = json.loads(line[len(MARK) :])
        begun = message["stage"]
        if "error" in message:
            errors[begun] = message["error"]
        elif "found" in message:
            found[begun] = message["found"]
    if begun not in found and begun not in errors:
        last = f" (its last words: {said[-1][:200]})" if said else ""
        errors[begun] = f"the process {ending}{last}"
    return Report(found, errors)


def checks(report: Report, gpus: int, visible: int, lowest: Mapping[str, str]) -> list[Check]:
    """Judge a report. `gpus` the driver shows, `visible` of them CUDA_VISIBLE_DEVICES lets through.

    `lowest` are the lowest versions of torch and torchvision that domcli works with.
    """
    torch = report.found.get("torch")
    if torch is None:
        return [_failed("torch", report, lowest)]
    return [_torch(torch, lowest), _torchvision(report, lowest), _cuda(report, torch, gpus, visible)]


def _torch(found: Mapping[str, Any], lowest: Mapping[str, str]) -> Check:
    version, cuda, seconds = found["version"], found["cuda"], found["import_seconds"]
    text = f"{version}, {f'built for CUDA {cuda}' if cuda else 'built without CUDA'}, imported in {seconds:.1f} s"
    if not is_enough(version, lowest.get("torch", "")):
        remedy = f"domcli needs {lowest['torch']} or newer: {_install(lowest, '--upgrade')}"
        return Check("torch", "problem", text, remedy, dict(found))
    if seconds > SLOW_IMPORT_SECONDS:
        remedy = "every trainer waits that long: if it stays so, move the virtual environment to a local disk"
        return Check("torch", "warning", text, remedy, dict(found))
    return Check("torch", "ok", text, None, dict(found))


def _torchvision(report: Report, lowest: Mapping[str, str]) -> Check:
    found = report.found.get("torchvision")
    if found is None:
        return _failed("torchvision", report, lowest)
    if not is_enough(found["version"], lowest.get("torchvision", "")):
        remedy = f"domcli needs {lowest['torchvision']} or newer: {_install(lowest, '--upgrade')}"
        return Check("torchvision", "problem", found["version"], remedy, dict(found))
    return Check("torchvision", "ok", f"{found['version']}, its operators work", None, dict(found))


def _cuda(report: Report, torch: Mapping[str, Any], gpus: int, visible: int) -> Check:
    found = report.found.get("cuda")
    if found is None:
        error, memory = report.error("cuda"), lacking_memory_in(report.errors.get("cuda", ""))
        if memory == "GPU":
            text = f"no memory is left on the first GPU ({error})"
            return Check("cuda", "warning", text, "wait, or use another GPU with --devices cuda:N")
        if memory == "machine":
            return _machine_full("cuda", error)
        remedy = "look at nvidia-smi; if it shows the GPU healthy, install the PyTorch for it from pytorch.org"
        return Check("cuda", "problem", f"PyTorch cannot use the GPU: {error}", remedy)
    if found["devices"]:
        fast = "bfloat16" if found["bfloat16"] else "float32, for it has no bfloat16"
        text = f"PyTorch computes on {plural(found['devices'], 'GPU')}, in {fast}"
        return Check("cuda", "ok", text, None, dict(found))
    if not visible:
        text = "CUDA_VISIBLE_DEVICES hides every GPU" if gpus else "not used: there is no GPU"
        return Check("cuda", "ok", text, None, dict(found))
    if not torch["cuda"]:
        text = f"PyTorch was built without CUDA, although {plural(visible, 'GPU')} could be used"
        return Check("cuda", "problem", text, "install the build for CUDA, as pytorch.org says", dict(found))
    why = f": {found['warnings'][0]}" if found["warnings"] else ""
    remedy = "update the NVIDIA driver, or install the PyTorch built for its CUDA version (nvidia-smi shows it)"
    return Check("cuda", "problem", f"PyTorch finds none of {plural(visible, 'GPU')}{why}", remedy, dict(found))


def _failed(package: str, report: Report, lowest: Mapping[str, str]) -> Check:
    error = report.error(package)
    if error == f"ModuleNotFoundError: No module named '{package}'":
        return Check(package, "problem", f"not installed for {sys.executable}", f"install it: {_install(lowest)}")
    if lacking_memory_in(report.errors.get(package, "")) is not None:
        return _machine_full(package, error)
    if "torchvision::nms" in error:
        text = f"does not fit the installed PyTorch ({error})"
        return Check(package, "problem", text, f"install the two that belong together: {_install(lowest, '--upgrade')}")
    if "did not answer" in error:
        remedy = "try again: the first time takes longest; if it stays so, move the virtual environment to a local disk"
        return Check(package, "problem", f"{STAGES[package]} takes too long: {error}", remedy)
    text = f"{STAGES[package]} fails: {error}"
    return Check(package, "problem", text, f"install it anew: {_install(lowest, '--force-reinstall')}")


def _machine_full(name: str, error: str) -> Check:
    return Check(name, "warning", f"no memory is left on the machine ({error})", "wait, or end other programs")


def _install(lowest: Mapping[str, str], *options: str) -> str:
    names = ("torch", "torchvision")
    return pip(*options, *(f"{name}>={lowest[name]}" if lowest.get(name) else name for name in names))


def _ending(code: int) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code} and without an answer"
