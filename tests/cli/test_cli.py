"""The command contract: names, flags, the environment, exit statuses, what goes to which stream."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import DATA, Run, Store, error_line, names_in, picture, records_of

import sscd_cli
from sscd_cli.errors import SscdError
from sscd_cli.models.catalogue.published import PUBLISHED
from sscd_cli.models.catalogue.registry import BUNDLED
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
from sscd_cli.text import bytes_text

A, B = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
# what typer adds, or what says something about the tool itself
NO_VARIABLE = {"--help", "--version", "--install-completion", "--show-completion"}


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name."""
    from sscd_cli.cli.app import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for word, inner in sorted(getattr(command, "commands", {}).items()):
            yield from walk(f"{name} {word}", inner)

    yield from walk("sscd", typer.main.get_command(app))


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


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Path:
    files: dict[Path, Any] = {
        picture(tmp_path / "a.png", 1, (50, 40)): A,
        picture(tmp_path / "b.png", 1, (50, 40)): A,
        picture(tmp_path / "c.png", 3): B,
    }
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"x")
    return store(tmp_path / "descriptors", {**files, torn: "no image"})


def test_data_goes_to_stdout_and_words_about_it_to_stderr(sscd: Run, stored: Path) -> None:
    ran = sscd("dedup", "-f", "paths")
    size = bytes_text((stored.parent / "b.png").stat().st_size)
    assert (ran.status, ran.out) == (0, b"b.png\n")
    assert ran.err == (
        f"3 images, 1 unreadable: 1 cluster, 1 removable ({size})\nthreshold 0.75 of drawn\n"
    )


@pytest.mark.parametrize("setting", ["-q", "--quiet", "SSCD_QUIET"])
def test_quiet_leaves_stderr_empty(
    sscd: Run, stored: Path, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if setting.startswith("SSCD"):
        monkeypatch.setenv(setting, "1")
    ran = sscd("dedup", "-f", "paths", *([setting] if setting.startswith("-") else []))
    assert (ran.status, ran.out, ran.err) == (0, b"b.png\n", "")


def test_the_exit_status_is_one_only_on_request_and_if_there_are_copies(
    sscd: Run, stored: Path
) -> None:
    assert sscd("dedup").status == 0
    assert sscd("dedup", "--exit-code").status == 1
    assert sscd("dedup", "-d", stored, "-t", "1", "--exit-code", "--keep", "path").status == 1


def test_no_copies_give_an_empty_report_and_status_zero(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    store(tmp_path / "descriptors", {picture(tmp_path / "a.png", 1): A})
    for format in ("text", "paths"):
        ran = sscd("dedup", "-f", format, "--exit-code")
        assert (ran.status, ran.out) == (0, b"")
    assert sscd("dedup", "-f", "csv").out.count(b"\n") == 2  # what was compared, and the columns
    ran = sscd("dedup", "-f", "jsonl", "--exit-code")
    assert (ran.status, records_of(ran.out)) == (0, [])


def test_strict_tells_of_unreadable_images_after_the_report(sscd: Run, stored: Path) -> None:
    ran = sscd("dedup", "--strict", "--exit-code", "-f", "paths")
    assert (ran.status, ran.out) == (4, b"b.png\n")


def test_debug_shows_the_traceback_and_then_the_error(sscd: Run) -> None:
    ran = sscd("dedup", "--debug")
    assert ran.status == 3
    assert ran.err.startswith("Traceback (most recent call last)")
    assert ran.err.endswith(
        "sscd: error: there are no descriptors in descriptors; run sscd embed SOURCE first\n"
    )


def test_a_bug_is_one_line_too(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("sscd_cli.commands.index.run", broken)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran) == (
        "unexpected ZeroDivisionError: a\\nb; add --debug and report what it shows"
    )


def test_what_the_system_refuses_is_no_bug(sscd: Run, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    fix = "see to that and run the same command again"
    refused = f"cannot use loop: Too many levels of symbolic links; {fix}"
    assert error_line(sscd("dedup", "-d", "loop")) == refused


def test_a_link_that_leads_to_itself_takes_no_report(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    ran = sscd("dedup", "-f", "paths", "-o", "loop")
    refused = "cannot write loop: Too many levels of symbolic links"
    assert error_line(ran) == f"{refused}; name another file with -o"


def test_no_memory_is_said_with_what_helps(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("sscd_cli.commands.index.run", hungry)
    ran = sscd("index")
    assert ran.status == 3
    assert error_line(ran) == "out of memory; use a smaller --batch-size or fewer --workers"


def test_an_interrupt_is_130_and_says_how_to_go_on(
    sscd: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sscd_cli.commands.index.run", interrupted)
    ran = sscd("index", "--debug")
    assert ran.status == 130
    assert ran.err == "sscd: error: interrupted; run the same command again to go on\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "no such command 'nonsense'; see sscd --help"),
        (["--nonsense"], "no such option: --nonsense; see sscd --help"),
        (["dedup", "--nonsense"], "no such option: --nonsense; see sscd dedup --help"),
        (["eval", "other"], "no such command 'other'; see sscd eval --help"),
        (["dedub"], "no such command 'dedub'; did you mean sscd dedup? see sscd --help"),
        (["scan", "a"], "no such command 'scan'; did you mean sscd dedup? see sscd --help"),
        (["version"], "no such command 'version'; did you mean sscd --version? see sscd --help"),
        (
            ["models", "download"],
            "no such command 'download'; did you mean sscd models pull? see sscd models --help",
        ),
        (
            ["dedup", "--treshold", "1"],
            "no such option: --treshold; did you mean --threshold? see sscd dedup --help",
        ),
        (
            ["embed", "a", "--gpu"],
            "no such option: --gpu; did you mean --device cuda? see sscd embed --help",
        ),
        ([""], "no such command ''; see sscd --help"),
        (["help", "nonsense"], "no such command or topic 'nonsense'; see sscd --help"),
        (
            ["help", "reprots"],
            "no such command or topic 'reprots'; did you mean sscd help reports? see sscd --help",
        ),
        (["acting"], "no such command 'acting'; did you mean sscd help acting? see sscd --help"),
        (
            ["models", "verify", "sscd_disc_mixp"],
            "unknown model 'sscd_disc_mixp'; did you mean sscd_disc_mixup? "
            f"use one of {', '.join((BUNDLED, *PUBLISHED))}",
        ),
        (["embed"], "missing argument 'SOURCE'; see sscd embed --help"),
        (["pair", "a.jpg"], "missing argument 'B'; see sscd pair --help"),
        (["train", "a"], "missing option '--output' / '-o'; see sscd train --help"),
        (["dedup", "-d"], "option '-d' requires an argument; see sscd dedup --help"),
    ],
)
def test_a_wrong_command_line_names_what_is_wrong_and_the_help(
    sscd: Run, words: list[str], message: str
) -> None:
    ran = sscd(*words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.casefold().startswith(f"sscd: error: {message}".casefold()[:40])
    assert error_line(ran) == message


@pytest.mark.parametrize("words", [[], ["eval"]])
def test_no_command_shows_the_help_on_stderr(sscd: Run, words: list[str]) -> None:
    ran = sscd(*words)
    assert (ran.status, ran.out) == (2, b"")
    assert ran.err.startswith("Usage: sscd")


def test_help_and_version_go_to_stdout(sscd: Run) -> None:
    for word in ("--version", "-V"):
        assert sscd(word).out == f"sscd {sscd_cli.__version__}\n".encode()
    for words in (["--help"], ["-h"], ["dedup", "-h"], ["eval", "self", "--help"]):
        ran = sscd(*words)
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.startswith(b"Usage: sscd")


def test_help_is_a_command_too(sscd: Run) -> None:
    for words in ((), ("dedup",), ("eval",), ("models", "pull")):
        assert sscd("help", *words).out == sscd(*words, "--help").out != b""


def test_a_folder_in_the_place_of_a_command_is_to_be_looked_through(
    sscd: Run, tmp_path: Path
) -> None:
    (tmp_path / "my photos").mkdir()
    assert error_line(sscd("my photos")) == (
        "no such command 'my photos'; did you mean sscd dedup 'my photos'? see sscd --help"
    )


def test_models_are_listed_with_and_without_the_word(sscd: Run) -> None:
    for words in ((), ("-f", "jsonl")):
        assert sscd("models", "list", *words).out == sscd("models", *words).out != b""


def test_the_help_of_a_command_begins_with_a_short_sentence_and_an_example() -> None:
    for name, command in commands():
        sentence, _, rest = (command.help or "").partition("\n\n")
        assert sentence.endswith((".", "?")), name
        assert len(sentence) <= 68, f"{name}: a list of commands has no room for it"
        assert hasattr(command, "commands") or rest.startswith(f"Example: {name}"), name


def test_help_says_in_words_what_may_follow_an_option(sscd: Run) -> None:
    for name, _ in commands():
        shown = sscd(*name.split()[1:], "--help").out.decode()
        assert not re.search("<[a-z]", shown), name
        assert not re.search("[{}]", shown.splitlines()[0]), name


def test_help_puts_the_options_of_one_part_under_its_title(sscd: Run) -> None:
    sections = sscd("dedup", "--help").out.decode().split("\n\n")
    report = next(text for text in sections if text.startswith("Report:"))
    assert [word for word in report.split() if word.startswith("--")] == [
        *("--null", "--explain", "--exit-code", "--strict"),
    ]


def test_help_of_dedup_begins_with_what_a_folder_needs(sscd: Run) -> None:
    sections = sscd("dedup", "--help").out.decode().split("\n\n")
    options = next(text for text in sections if text.startswith("Options:"))
    assert [word for word in options.split() if word.startswith("--")] == [
        *("--threshold", "--keep-path", "--exclude", "--format", "--output"),
    ]


def test_help_begins_with_dedup_and_says_that_an_index_is_optional(sscd: Run) -> None:
    shown = sscd("--help").out.decode().partition("Commands:\n")[2]
    assert shown.split()[0] == "dedup"
    assert re.search("^  index .* optional", shown, re.MULTILINE)


def test_lists_of_commands_cut_no_sentence(sscd: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("eval",), ("models",)):
        assert b"..." not in sscd(*words, "--help").out.split(b"Commands:")[1]


def test_help_lists_the_topics_and_shows_each(sscd: Run) -> None:
    listed = sscd("help").out.decode()
    names = [name for name, _ in commands()]
    pages = sorted((Path(sscd_cli.__file__).parent / "docs").glob("*.md"))
    assert pages
    for path in pages:
        assert re.search(rf"^  {path.stem}  +\S", listed, re.MULTILINE)
        assert f"sscd {path.stem}" not in names, "the help of a command has this name"
        ran = sscd("help", path.stem)
        assert (ran.status, ran.out.decode()) == (0, path.read_text(encoding="utf-8"))


def test_topics_name_commands_and_options_that_there_are(sscd: Run) -> None:
    known = {"sscd"} | {name for name, _ in commands()}
    options = {"--index-url", "--nproc-per-node"}  # of pip, of torchrun
    options |= {word for _, one in commands() for param in one.params for word in param.opts}
    options |= {
        word for _, one in commands() for param in one.params for word in param.secondary_opts
    }
    for path in (Path(sscd_cli.__file__).parent / "docs").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for command in re.findall(r"`sscd ([a-z]+)", text):
            assert f"sscd {command}" in known, path
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= options, path


def test_help_names_every_default(sscd: Run) -> None:
    shown = " ".join(sscd("dedup", "--help").out.decode().split())
    for default in (
        "descriptors",
        "leader",
        "original,resolution,bytes,format,source,oldest,path",
        "text",
    ):
        assert f"[default: {default}]" in shown


def test_the_report_goes_to_a_file_on_request(sscd: Run, stored: Path, tmp_path: Path) -> None:
    report = records_of(sscd("dedup", "-f", "jsonl").out)
    ran = sscd("dedup", "-f", "jsonl", "-o", "report.jsonl")
    assert (ran.status, ran.out) == (0, b"")
    assert records_of((tmp_path / "report.jsonl").read_bytes()) == report
    assert report[0]["members"][0]["path"] == "a.png"


def test_a_failed_report_leaves_the_old_file_and_no_other(
    sscd: Run, tmp_path: Path, store: Store
) -> None:
    files = {picture(tmp_path / name, 1): A for name in ("a.png", "b\nc.png")}
    store(tmp_path / "descriptors", files)
    (tmp_path / "list").write_text("old")
    before = names_in(tmp_path)
    ran = sscd("dedup", "-f", "paths", "-o", "list")
    assert ran.status == 2
    assert (tmp_path / "list").read_text() == "old"
    assert names_in(tmp_path) == before


def test_output_keeps_links_and_devices_in_their_place(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("report")
    (tmp_path / "report").write_text("old")
    assert sscd("dedup", "-f", "paths", "-o", "link").status == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "report").read_text() == "b.png\n"
    assert sscd("dedup", "-f", "paths", "-o", "/dev/stdout").out == b"b.png\n"
    assert sscd("dedup", "-f", "parquet", "-o", "/dev/null").status == 0
    assert not Path("/dev/null").is_file()


def test_an_output_that_cannot_be_written_is_an_error(
    sscd: Run, stored: Path, tmp_path: Path
) -> None:
    for place, reason in (
        (".", "Is a directory"),
        *(("b.png/x", "Not a directory"), ("x" * 300, "File name too long")),
    ):
        ran = sscd("dedup", "-o", place)
        assert ran.status == 3
        assert error_line(ran) == f"cannot write {place}: {reason}; name another file with -o"


def test_an_output_in_a_missing_folder_is_one_mistake_in_every_command(
    sscd: Run, tmp_path: Path
) -> None:
    """It is refused first: there is not even an image here that work could begin with."""
    for words in (
        *(["dedup", "-o"], ["fit", "-o"], ["calibrate", "-o"]),
        *(["models", "export", "other", "-o"], ["eval", "disc", "a", "-o"]),
        *(["eval", "pairs", "truth.csv", "-o"], ["eval", "pairs", "truth.csv", "--plot"]),
    ):
        ran = sscd(*words, "no/file")
        assert ran.status == 3
        assert error_line(ran) == (
            "cannot write no/file: no such folder; make it first or name another file with -o"
        )
    assert not (tmp_path / "no").exists()


def test_no_command_speaks_of_one_images(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "a.png", 1)
    for words in (
        ["embed", "photos"],
        ["index"],
        ["search", "photos/a.png"],
        ["dedup"],
        ["dedup", "--estimate"],
        ["dedup", "--against", "descriptors"],
        ["dedup", "--task", "1/1"],
        ["fit", "-o", "a.post", "--transform", "none"],
        ["fit", "-o", "b.post", "--transform", "whiten"],
        ["index", "--factory", "IVF4,Flat", "--rebuild"],
        ["calibrate", "--sample", "2"],
        ["eval", "self", "photos"],
        ["embed", "photos", "--estimate", "-d", "other"],
    ):
        ran = tiny(*words)
        assert not re.search(r"(?<![\d.,])1 \w+s\b(?! in all)", ran.out.decode() + ran.err), words


def test_embedding_says_where_the_descriptors_went(tiny: Run, tmp_path: Path) -> None:
    picture(tmp_path / "photos" / "a.png", 1)
    said = tiny("embed", "photos", "-d", "there").err
    assert "descriptors in there\n" in said
    assert "descriptors in " not in tiny("embed", "photos", "-d", "there").err
