"""What `domcli doctor` says of PyTorch: the real probe, with modules of every kind in its place."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from checked import by_name

from domcli.checks import pytorch
from domcli.checks.check import Check

FAKE_TORCH = """
import warnings
__version__ = {version!r}
class version: cuda = {built_for!r}
class cuda:
    @staticmethod
    def is_available():
        warnings.warn("the driver is too old")
        return False
def tensor(values): return values
"""
TORCH = {"version": "2.9", "cuda": "13.0", "import_seconds": 1.0}
FAKE_VISION = """
from types import SimpleNamespace
__version__ = "0.24.1"
ops = SimpleNamespace(nms=lambda boxes, scores, threshold: [0])
"""


def ask(tmp_path: Path, torch: str | None, torchvision: str | None) -> pytorch.Report:
    """Return what the real probe says where these are the modules, and nothing else is installed."""
    for name, text in (("torch", torch), ("torchvision", torchvision)):
        if text is not None:
            (tmp_path / f"{name}.py").write_text(text)
    probe = pytorch.Probe({**os.environ, "PYTHONPATH": str(tmp_path)}, (sys.executable, "-S", "-c", pytorch.PROBE))
    try:
        return probe.report()
    finally:
        probe.close()


def fake_torch(version: str = "2.9.1", built_for: str | None = None) -> str:
    return FAKE_TORCH.format(version=version, built_for=built_for)


def judge(report: pytorch.Report, gpus: int = 0, visible: int = 0) -> dict[str, Check]:
    return by_name(pytorch.checks(report, gpus, visible, {"torch": "2.9", "torchvision": "0.24"}))


def test_a_working_torch(tmp_path):
    found = judge(ask(tmp_path, fake_torch(), FAKE_VISION))
    assert {name: check.status for name, check in found.items()} == dict.fromkeys(found, "ok")
    assert found["torch"].text.startswith("2.9.1, built without CUDA, imported in ")
    assert found["torchvision"].details == {"version": "0.24.1"}
    assert found["cuda"].text == "not used: there is no GPU"


def test_no_torch(tmp_path):
    found = judge(ask(tmp_path, None, None))
    assert list(found) == ["torch"]
    assert found["torch"].text == f"not installed for {sys.executable}"
    command = f"{shlex.quote(sys.executable)} -m pip install 'torch>=2.9' 'torchvision>=0.24'"
    assert found["torch"].remedy == f"install it: {command}"


def test_a_torch_that_is_too_old(tmp_path):
    found = judge(ask(tmp_path, fake_torch("2.8.9+cpu"), FAKE_VISION))
    assert found["torch"].status == "problem"
    assert found["torch"].remedy.startswith("domcli needs 2.9 or newer: ")
    assert judge(ask(tmp_path, fake_torch("2.10.0"), FAKE_VISION))["torch"].status == "ok"


def test_a_torchvision_made_for_another_torch(tmp_path):
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    found = judge(ask(tmp_path, fake_torch(), broken))
    assert found["torch"].status == "ok"
    assert "does not fit the installed PyTorch" in found["torchvision"].text
    assert "--upgrade 'torch>=2.9' 'torchvision>=0.24'" in found["torchvision"].remedy


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        ("raise ImportError('libcudart.so.13: cannot open')", "ImportError: libcudart.so.13: cannot open"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
        ("import os; os.write(1, b'Illegal thing\\n'); os._exit(3)", "exit code 3 and without an answer (its last"),
    ],
)
def test_a_torch_that_breaks(tmp_path, torch, said):
    found = judge(ask(tmp_path, torch, None))["torch"]
    assert (found.status, said in found.text) == ("problem", True)
    assert "--force-reinstall" in found.remedy


def test_a_machine_without_memory_for_torch(tmp_path):
    said = "libtorch_cuda.so: failed to map segment from shared object: Cannot allocate memory"
    found = judge(ask(tmp_path, f"raise ImportError({said!r})", None))["torch"]
    assert (found.status, found.text) == ("warning", f"no memory is left on the machine (ImportError: {said})")


def test_a_torchvision_that_crashes_leaves_what_torch_said(tmp_path):
    found = judge(ask(tmp_path, fake_torch(), "import os; os.abort()"))
    assert found["torch"].status == "ok"
    assert "SIGABRT" in found["torchvision"].text
    assert found["cuda"].status == "problem"


def test_a_torch_that_does_not_come():
    probe = pytorch.Probe(os.environ, (sys.executable, "-c", "import time; time.sleep(600)"), patience=0.0)
    found = judge(probe.report())["torch"]
    probe.close()
    assert found.status == "problem"
    assert found.text == "importing PyTorch takes too long: the process did not answer within 0 s"
    assert "local disk" in found.remedy


def test_what_was_said_before_the_time_was_over_counts(tmp_path):
    messages = [{"stage": "torch", "found": TORCH}, {"stage": "torchvision"}]
    lines = "\n".join(pytorch.MARK + json.dumps(message) for message in messages)
    said = tmp_path / "said"
    script = f"import time; print({lines!r}, flush=True); open({str(said)!r}, 'w').close(); time.sleep(600)"
    probe = pytorch.Probe(os.environ, (sys.executable, "-c", script), patience=0.0)
    while not said.exists():
        time.sleep(0.01)
    found = judge(probe.report())
    probe.close()
    assert found["torch"].status == "ok"
    assert "importing torchvision takes too long" in found["torchvision"].text


def test_an_interpreter_that_talks_nonsense():
    probe = pytorch.Probe(os.environ, (sys.executable, "-c", "print('lorem ipsum')"))
    found = judge(probe.report())["torch"]
    probe.close()
    assert "lorem ipsum" in found.text


@pytest.mark.parametrize(
    ("built_for", "visible", "said", "status"),
    [
        (None, 2, "built without CUDA, although 2 GPUs could be used", "problem"),
        ("13.0", 1, "PyTorch finds none of 1 GPU: the driver is too old", "problem"),
        ("13.0", 0, "CUDA_VISIBLE_DEVICES hides every GPU", "ok"),
    ],
)
def test_gpus_that_torch_does_not_use(tmp_path, built_for, visible, said, status):
    found = judge(ask(tmp_path, fake_torch(built_for=built_for), FAKE_VISION), 2, visible)["cuda"]
    assert (found.status, said in found.text) == (status, True)


def test_gpus_that_torch_uses():
    torch = {**TORCH, "import_seconds": 25.0}
    fine = {"devices": 2, "warnings": [], "bfloat16": True}
    found = judge(pytorch.Report({"torch": torch, "cuda": fine}, {}), 2, 2)
    assert found["cuda"].text == "PyTorch computes on 2 GPUs, in bfloat16"
    assert found["torch"].status == "warning"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("OutOfMemoryError: CUDA out of memory", "warning", "on the first GPU (OutOfMemoryError: CUDA out of memory)"),
        ("AcceleratorError: CUDA error: out of memory\nSearch for it", "warning", "CUDA error: out of memory)"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it", "warning", "on the first GPU ("),
        ("RuntimeError: cuDNN error\nCUDNN_STATUS_ALLOC_FAILED", "warning", "on the first GPU (RuntimeError: cuDNN"),
        ("MemoryError: ", "warning", "no memory is left on the machine (MemoryError: )"),
        ("no kernel image\nmore", "problem", "PyTorch cannot use the GPU: no kernel image"),
    ],
)
def test_a_gpu_that_fails(error, status, said):
    found = judge(pytorch.Report({"torch": TORCH}, {"cuda": error}), 2, 2)["cuda"]
    assert (found.status, said in found.text, "\n" in found.text) == (status, True, False)


FULL_CUDA = """
    @staticmethod
    def is_available():
        try:
            raise RuntimeError("{first}")
        finally:
            raise RuntimeError("{second}")
"""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("nothing much", "initialization failed\\nCUDA_ERROR_OUT_OF_MEMORY"),
        ("CUDA out of memory.", "the previous error"),
    ],
)
def test_the_probe_tells_the_whole_message_and_what_an_error_hides(tmp_path, first, second):
    torch = (
        f"class version: cuda = '13.0'\n__version__ = '2.9'\nclass cuda:{FULL_CUDA.format(first=first, second=second)}"
    )
    found = judge(ask(tmp_path, torch, None), 1, 1)["cuda"]
    line = second.split("\\n")[0]
    assert (found.status, found.text) == ("warning", f"no memory is left on the first GPU (RuntimeError: {line})")
