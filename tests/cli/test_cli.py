"""The command contract: names, flags, the environment, exit statuses, what goes to which stream."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from command_lines import commands
from conftest import DATA, Run

from sscd_cli.errors import SscdError
from sscd_cli.options.calibrate import CalibrateOptions
from sscd_cli.options.dedup import DedupOptions
from sscd_cli.options.embed import ClusterOptions, EmbedOptions
from sscd_cli.options.evaluate import (
    EvalCopydaysOptions,
    EvalDiscOptions,
    EvalPairsOptions,
    EvalSelfOptions,
)
from sscd_cli.options.fit import FitOptions
from sscd_cli.options.index import IndexOptions, SearchOptions
from sscd_cli.options.pair import PairOptions

# what typer adds, or what says something about the tool itself
NO_VARIABLE = {"--help", "--version", "--install-completion", "--show-completion"}


def words_of(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return parameter.metavar
    return "/".join([*parameter.opts, *parameter.secondary_opts])


def test_commands_and_flags_are_those_that_we_promised() -> None:
    lines = []
    for name, command in commands():
        lines.append(name)
        lines += [f"    {words_of(parameter)}" for parameter in command.params]
    assert "\n".join(lines) + "\n" == (DATA / "golden" / "commands.txt").read_text()


# whose own names mean something else to other commands
OTHERS = {
    **{f"train --{name}": "TRAIN_" for name in ("batch-size", "dimensions", "workers")},
    **{
        f"eval {set} --{name}": "EVAL_"
        for set in ("disc", "copydays")
        for name in ("k", "descriptors")
    },
    "leaks --descriptors": "LEAKS_",
    "apply --yes": "APPLY_",
}


def test_every_option_has_a_variable_of_its_own_name() -> None:
    for name, command in commands():
        for parameter in command.params:
            if parameter.param_type_name == "argument" or {*parameter.opts} & NO_VARIABLE:
                continue
            long = next(word for word in parameter.opts if word.startswith("--"))
            own = OTHERS.get(f"{name.removeprefix('sscd ')} {long}", "")
            expected = f"SSCD_{own}" + long.removeprefix("--").replace("-", "_").upper()
            assert parameter.envvar == expected, f"{name} {long}"


EMBED = {
    "descriptors": ("d2", Path("d2")),
    "model": ("some.safetensors", "some.safetensors"),
    "include": ("*.jpg", ("*.jpg",)),
    "exclude": ("*.png", ("*.png",)),
    "from0": ("1", True),
    "exif": ("0", False),
    "device": ("cpu", "cpu"),
    "precision": ("fp32", "fp32"),
    "batch_size": ("7", 7),
    "workers": ("3", 3),
}

SHARED = {key: EMBED[key] for key in ("model", "device", "precision")}

SCALE = {"post": ("some.post", Path("some.post")), "score_norm": ("1.0[0,2]", "1.0[0,2]")}

BENCHMARK: dict[str, tuple[str, Any]] = {
    **SHARED,
    **{key: EMBED[key] for key in ("descriptors", "batch_size", "workers")},
    "codecs": ("Flat; PCA8,L2norm,Flat", ("Flat", "PCA8,L2norm,Flat")),
    "k": ("3", 3),
}

CASES: dict[str, tuple[list[str], str, Any, dict[str, tuple[str, Any]]]] = {
    "embed": (
        ["embed", "photos", "-"],
        "embed",
        EmbedOptions(sources=("photos", "-")),
        {
            **EMBED,
            "prune": ("true", True),
            "dtype": ("float32", "float32"),
            "shard_rows": ("9", 9),
            "max_pixels": ("10", 10),
            "max_bytes": ("11", 11),
        },
    ),
    "dedup": (
        ["dedup"],
        "dedup",
        DedupOptions(),
        {
            **SCALE,
            "descriptors": EMBED["descriptors"],
            "threshold": ("0.5", 0.5),
            "linkage": ("complete", "complete"),
            "keep": ("newest,path", ("newest", "path")),
            "method": ("groups", "groups"),
        },
    ),
    "fit": (
        ["fit", "-o", "post"],
        "fit",
        FitOptions(output=Path("post")),
        {
            "transform": ("pca", "pca"),
            "dimensions": ("12", 12),
            "background": ("13", 13),
            "seed": ("14", 14),
        },
    ),
    "index": (
        ["index"],
        "index",
        IndexOptions(),
        {
            "descriptors": EMBED["descriptors"],
            "post": SCALE["post"],
            "factory": ("Flat", "Flat"),
            "rebuild": ("yes", True),
        },
    ),
    "search": (
        ["search", "a.jpg"],
        "search",
        SearchOptions(images=("a.jpg",)),
        {**SHARED, **SCALE, "descriptors": EMBED["descriptors"], "k": ("3", 3)},
    ),
    "pair": (
        ["pair", "a.jpg", "b.jpg"],
        "pair",
        PairOptions(left="a.jpg", right="b.jpg"),
        {
            **SHARED,
            **SCALE,
            "threshold": ("0.5", 0.5),
            "exif": ("0", False),
            "explain": ("yes", True),
        },
    ),
    "eval pairs": (
        ["eval", "pairs", "truth.csv"],
        "evaluate.pairs",
        EvalPairsOptions(truth=Path("truth.csv")),
        {
            "post": ("p", Path("p")),
            "score_norm": ("1[0]", "1[0]"),
            "threshold": ("0.5", 0.5),
            "plot": ("a.png", (Path("a.png"),)),
        },
    ),
    "eval disc": (
        ["eval", "disc", "disc"],
        "evaluate.disc",
        EvalDiscOptions(path=Path("disc")),
        {
            **BENCHMARK,
            "queries": ("q", Path("q")),
            "references": ("r", Path("r")),
            "training": ("t", Path("t")),
            "truth": ("m.csv", Path("m.csv")),
            "score_norm": ("1[0];2[1,3]", ("1[0]", "2[1,3]")),
            "global_candidates": ("1", True),
        },
    ),
    "eval copydays": (
        ["eval", "copydays", "copydays"],
        "evaluate.copydays",
        EvalCopydaysOptions(path=Path("copydays")),
        {**BENCHMARK, "distractors": ("d", Path("d")), "training": ("t", Path("t"))},
    ),
    "calibrate": (
        ["calibrate"],
        "calibrate",
        CalibrateOptions(),
        {
            **SCALE,
            "descriptors": EMBED["descriptors"],
            "wanted_precision": ("0.9", 0.9),
            "copies_per_image": ("0.2", 0.2),
            "images": ("500", 500),
            "sample": ("50", 50),
            "weights": ("crop=2", "crop=2"),
            "output": ("t.json", Path("t.json")),
            "seed": ("6", 6),
            "model": EMBED["model"],
            "device": EMBED["device"],
        },
    ),
    "eval self": (
        ["eval", "self", "photos"],
        "evaluate.self_copies",
        EvalSelfOptions(sources=("photos",)),
        {
            **SHARED,
            **SCALE,
            "distractors": ("more", ("more",)),
            "limit": ("5", 5),
            "seed": ("6", 6),
        },
    ),
}

SWITCHES = {"exif", "from0", "prune", "rebuild", "global_candidates", "explain"}


@pytest.mark.parametrize("how", ["default", "flag", "variable"])
@pytest.mark.parametrize("command", CASES)
def test_flags_and_variables_arrive_as_the_librarys_options(
    command: str, how: str, sscd: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, verb, expected, settings = CASES[command]
    monkeypatch.delenv("SSCD_WORKERS")
    monkeypatch.delenv("SSCD_TRAIN_WORKERS")
    seen: list[Any] = []

    def record(first: Any, *rest: Any, **announce: Any) -> None:
        seen.append(first)
        raise SscdError("seen", "enough")

    monkeypatch.setattr(f"sscd_cli.commands.{verb}.run", record)
    if how == "flag":
        for name, (text, _) in settings.items():
            flag = f"--{name.replace('_', '-')}"
            switch = ["--no-exif"] if name == "exif" else [flag]
            words = [*words, *(switch if name in SWITCHES else [flag, text])]
    elif how == "variable":
        for name, (text, _) in settings.items():
            own = OTHERS.get(f"{command} --{name.replace('_', '-')}", "")
            monkeypatch.setenv(f"SSCD_{own}{name.upper()}", text)
    if how != "default":
        expected = dataclasses.replace(expected, **{k: value for k, (_, value) in settings.items()})
    assert sscd(*words).status == 3
    assert seen == [expected]


def test_a_variable_means_one_thing_to_all_commands(
    sscd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.jsonl").touch()
    seen: list[Any] = []

    def record(first: Any, *rest: Any, **announce: Any) -> None:
        seen.append(first)
        raise SscdError("seen", "enough")

    for name, word in (("BATCH_SIZE", "8"), ("WORKERS", "2"), ("DESCRIPTORS", "d"), ("YES", "1")):
        monkeypatch.setenv(f"SSCD_{name}", word)
    for command in ("train", "evaluate.disc", "apply"):
        monkeypatch.setattr(f"sscd_cli.commands.{command}.run", record)
    sscd("train", "photos", "-o", "run")
    sscd("eval", "disc", "benchmark")
    sscd("apply", "report.jsonl")
    train, disc, apply = seen
    assert (train.batch_size, train.workers) == (192, 0)  # the latter by a variable of its own
    assert (disc.batch_size, disc.workers, disc.descriptors) == (8, 2, Path("eval-descriptors"))
    assert apply.yes is None


def test_dedup_hands_its_embedding_options_on(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def record(first: Any, embedding: Any, **announce: Any) -> None:
        seen.append(embedding)
        raise SscdError("seen", "enough")

    monkeypatch.setattr("sscd_cli.commands.dedup.run", record)
    for name, (text, _) in EMBED.items():
        monkeypatch.setenv(f"SSCD_{name.upper()}", text)
    sscd("dedup", "photos")
    sscd("dedup", "photos", "--engine", "ray")
    wanted = {key: value for key, (_, value) in EMBED.items()}
    here = EmbedOptions(sources=("photos",), **wanted)
    assert seen == [here, dataclasses.replace(here, cluster=ClusterOptions())]
