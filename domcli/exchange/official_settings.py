"""The settings that say the same as the arguments of the official implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domcli.catalogue import ATTACKS, NETWORKS, OPERATIONS, SCHEDULES, Kind, Network, Operation
from domcli.exchange.official import OfficialLog, OfficialLogError, Session
from domcli.presets import available, resolve, resolve_tables
from domcli.settings import Settings

NORMS = {"l_inf": "linf", "l_2": "l2"}
DATASET = "cifar10"
"""The only data set of the official script."""
PUBLISHED_WIDENING = 10
"""The only `width_factor` for which the official WideResNet is a network that domcli has."""

REQUIRED = (
    *("model", "width_factor", "batch_size", "epochs", "lr_max", "seed", "fname"),
    *("attack", "norm", "epsilon", "restarts", "pgd_alpha", "pgd_step_train", "pgd_step_test", "fgsm_alpha"),
    *("operate", "clamp", "max_arg_iteration", "arg_strength"),
)
IRRELEVANT = frozenset({"fname", "resume", "eval", "lr_schedule"})
"""Arguments that are used otherwise, or that the official script itself does not use."""

LARGEST = 1e18
"""No number of a training is that large; a whole number may have any size."""
RATE_TOLERANCE = 0.5e-4 + 1e-9
"""Learning rates are logged with four decimals."""


def settings_of(log: OfficialLog) -> Settings:
    """Return the settings of an official run.

    Arguments that have no effect in its paradigm are left at the defaults, so that runs that did the same have the
    same settings. Raises OfficialLogError or SettingsError, with file and line, for arguments that domcli cannot
    express and for a resumed run whose arguments changed on the way.
    """
    schedule = _schedule(log)
    found = [_settings(log, session, schedule) for session in log.sessions]
    for session, settings in zip(log.sessions, found, strict=True):
        if settings != found[0]:
            raise OfficialLogError(
                f"{log.place(session.line)}: the run resumes with other arguments; expected those of line "
                f"{log.sessions[0].line}"
            )
        _check_epochs(log, session, settings.train.epochs)
    return found[0]


def not_mapped(arguments: Mapping[str, Any]) -> list[str]:
    """Return the arguments, as `name=value`, that have no counterpart among the settings."""
    known = {*REQUIRED, *IRRELEVANT}
    return [f"{name}={value!r}" for name, value in arguments.items() if name not in known]


def not_of_the_log(arguments: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    """Yield what settings say that the arguments of their log do not, or differently, each with the reason."""
    named = arguments.get("lr_schedule")
    if named is not None and named != settings.train.schedule:
        yield (
            f"the schedule is {settings.train.schedule}, as the logged learning rates show; the log's argument "
            f"lr_schedule={named!r} is one that the official script does not use"
        )
    yield (
        f"the log does not name the data set: {settings.data.dataset} is the only one of the official script (50,000 "
        "training and 10,000 test images), which fixes momentum and weight decay, too; device and precision stay "
        "unknown"
    )


def preset_of(settings: Settings) -> str | None:
    """Return the preset with the same settings but for the seed, or None."""
    digest = settings.digest()
    return next((preset.name for preset in available() if resolve(preset.name).digest() == digest), None)


def _settings(log: OfficialLog, session: Session, schedule: str) -> Settings:
    arguments, place = session.arguments, log.place(session.line)
    missing = [name for name in REQUIRED if name not in arguments]
    if missing:
        raise OfficialLogError(f"{place}: the arguments lack {', '.join(missing)}; expected all of the official script")
    attack = arguments["attack"]
    tables = {
        "data": {"dataset": DATASET},
        "model": {"name": _model(arguments, place)},
        "train": {
            "epochs": arguments["epochs"],
            "batch_size": arguments["batch_size"],
            "max_lr": arguments["lr_max"],
            "schedule": schedule,
            "seed": arguments["seed"],
        },
        "attack": _attack(arguments, place),
        "dom": _dom(arguments, place),
        "evaluation": {"attack": "none"} if attack == "none" else _evaluation(arguments),
    }
    return resolve_tables(tables, place)


def _model(arguments: Mapping[str, Any], place: str) -> str:
    name = _one_of(_official(NETWORKS), arguments, "model", place)
    if arguments["model"] == "WideResNet" and arguments["width_factor"] != PUBLISHED_WIDENING:
        raise OfficialLogError(
            f"{place}: WideResNet with width_factor={arguments['width_factor']!r}; domcli has it with "
            f"{PUBLISHED_WIDENING}, Wide ResNet-34-10"
        )
    return name


def _attack(arguments: Mapping[str, Any], place: str) -> dict[str, Any]:
    if arguments["attack"] == "none":
        return {"name": "none"}
    table = {
        "name": arguments["attack"],
        "norm": _one_of(NORMS, arguments, "norm", place),
        "epsilon": arguments["epsilon"],
        "restarts": arguments["restarts"],
    }
    if arguments["attack"] == "fgsm":
        return {**table, "alpha": arguments["fgsm_alpha"]}
    return {**table, "alpha": arguments["pgd_alpha"], "steps": arguments["pgd_step_train"]}


def _evaluation(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "attack": "pgd",
        "alpha": arguments["pgd_alpha"],
        "steps": arguments["pgd_step_test"],
        "restarts": arguments["restarts"],
    }


def _dom(arguments: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return [dom]. No loss is under a threshold of 0, and augmentation without iterations changes nothing."""
    operate = _one_of(_official(OPERATIONS), arguments, "operate", place)
    threshold, iterations = arguments["clamp"], arguments["max_arg_iteration"]
    augments = OPERATIONS[operate].augments
    idle = iterations == 0 if augments else threshold in (0, 0.0)
    if idle:
        # What then counts as high-confidence is what the paper takes for it.
        return {"operate": "none", "threshold": threshold or ATTACKS[arguments["attack"]].official_threshold}
    if not augments:
        return {"operate": operate, "threshold": threshold}
    return {
        "operate": operate,
        "threshold": threshold,
        "strength": arguments["arg_strength"],
        "iterations": iterations,
    }


def _official(kind: Kind[Network] | Kind[Operation]) -> dict[str, str]:
    """Return the names of the entries that the official implementation has, by what they are called there."""
    return {entry.official: entry.name for entry in kind if entry.official is not None}


def _one_of(known: Mapping[str, str], arguments: Mapping[str, Any], name: str, place: str) -> str:
    value = arguments[name]
    if not isinstance(value, str) or value not in known:
        raise OfficialLogError(f"{place}: the argument {name} is {value!r}; expected one of {', '.join(known)}")
    return known[value]


def _schedule(log: OfficialLog) -> str:
    """Return the schedule that the logged learning rates follow.

    The official script ignores its argument `lr_schedule`: FGSM is cyclical, the others piecewise.
    """
    first = log.sessions[0].arguments
    peak, epochs = _number(first.get("lr_max")), _number(first.get("epochs"))
    usual = "cyclical" if first["attack"] == "fgsm" else "piecewise"
    if epochs < 1:
        return usual  # refused with the other arguments
    other = "piecewise" if usual == "cyclical" else "cyclical"
    furthest = []
    for schedule in (usual, other):
        strange = _first_strange(log, schedule, peak, epochs)
        if strange is None:
            return schedule
        furthest.append(strange)
    line, lr, expected = furthest[0]
    raise OfficialLogError(
        f"{log.place(line)}: the learning rate is {lr:.4f}; expected {expected:.4f} ({usual} schedule, the other does "
        "not fit either)"
    )


def _first_strange(log: OfficialLog, schedule: str, peak: float, epochs: float) -> tuple[int, float, float] | None:
    """Return line, logged and expected rate of the first epoch that does not follow the schedule, if there is one."""
    for session in log.sessions:
        for epoch in session.epochs:
            expected = _rate(schedule, peak, (epoch.epoch + 1) / epochs)
            if abs(epoch.lr - expected) > RATE_TOLERANCE:
                return epoch.line, epoch.lr, expected
    return None


def _rate(schedule: str, peak: float, done: float) -> float:
    """Return the rate of the last step of an epoch, with which the share `done` of the training is over."""
    return SCHEDULES[schedule].rate(done, 1.0, peak)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else 0.0


def _check_epochs(log: OfficialLog, session: Session, total: int) -> None:
    for epoch in session.epochs:
        if epoch.epoch >= total:
            raise OfficialLogError(
                f"{log.place(epoch.line)}: epoch {epoch.epoch} stands here; expected no more than {total} epochs, "
                f"0 to {total - 1}, as line {session.line} says"
            )
