"""Completion in bash, zsh and fish: the scripts that load it, and words that an option takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from typer.completion import get_completion_inspect_parameters

from sscd_cli.choices import KEEP_WORDS

VARIABLE = "_SSCD_COMPLETE"
_BASH = r"""
_sscd_completion() {
    local IFS=$'\n'
    COMPREPLY=( $( env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD \
        _SSCD_COMPLETE=complete_bash $1 ) )
}

complete -o default -F _sscd_completion sscd
"""
_ZSH = """
#compdef sscd

_sscd() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _SSCD_COMPLETE=complete_zsh sscd)
}

if [[ $funcstack[1] == _sscd ]]; then
  _sscd "$@"
else
  compdef _sscd sscd
fi
"""
_FISH = """
function _sscd_completion
    env _SSCD_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=$argv[1] \\
        _TYPER_COMPLETE_ARGS=(commandline -cp) sscd
end

complete --command sscd --no-files --arguments '(_sscd_completion get-args)' \\
    --condition '_sscd_completion is-args'
"""
SCRIPTS = {
    f"source_{name}": text.lstrip()
    for name, text in zip(("bash", "zsh", "fish"), (_BASH, _ZSH, _FISH), strict=True)
}


def make_shells_known() -> None:
    """Prepare Typer to answer what a shell asks."""
    get_completion_inspect_parameters()


def _models() -> Iterable[str]:
    from sscd_cli.models.catalogue.published import PUBLISHED
    from sscd_cli.models.catalogue.registry import BUNDLED

    return BUNDLED, *PUBLISHED


def _precisions() -> Iterable[str]:
    from sscd_cli.machines.device import PRECISIONS

    return PRECISIONS


_COMPLETIONS: dict[str, Callable[[], Iterable[str]]] = {
    "model": _models,
    "name": _models,
    "device": lambda: ("auto", "cpu", "cuda"),
    "precision": _precisions,
    "keep": lambda: KEEP_WORDS,
    "threshold": lambda: ("auto",),
}


def completer(name: str, separator: str) -> Callable[[str], Iterator[str]] | None:
    """Return what completes the value of an option, None where its type or files do."""
    known = _COMPLETIONS.get(name)
    if known is None:
        return None

    def complete(incomplete: str) -> Iterator[str]:
        before, comma, last = (
            incomplete.rpartition(separator) if separator else ("", "", incomplete)
        )
        yield from (before + comma + word for word in known() if word.startswith(last))

    return complete
