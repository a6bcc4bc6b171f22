"""An argv in, what it really runs out: launchers stripped, interpreter, module, script, options.

`nohup numactl -N 0 torchrun --nproc-per-node 8 -m pkg.train --lr 1e-4` runs `pkg.train`.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from submeter.workloads.launchers import LAUNCHERS, past

_MAX_WORDS: Final = 512
_MAX_LAUNCHERS: Final = 8
_PYTHON: Final = re.compile(r"(?:python|pypy|ipython)[\d.]*[a-z]?(?:-dbg)?")
_IMPORT: Final = re.compile(r"\b(?:import|from) +([A-Za-z_][\w.]*)", re.ASCII)
_CODE_CHARACTERS: Final = 4096
_SCRIPT_ENDING: Final = re.compile(r"\.(?:pyc?|sh|jl|r|js|mjs|lua|pl|rb|m)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Command:
    """What runs: ``program`` and, for an interpreter, its ``module`` or ``script``.

    ``name`` is the last part of the path of whichever says most; ``folders`` are those above it.
    ``imported`` is the first module that code on the command line (`python -c`) imports.
    ``words`` are the plain arguments before the first option, ``options`` maps every option
    (``--a-b c``, ``--a.b=c``, ``a.b=c``; written ``a-b``, ``a.b``) to its value, "" if it has none.
    """

    program: str = ""
    module: str = ""
    script: str = ""
    folders: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    launchers: tuple[str, ...] = ()
    imported: str = ""

    @property
    def native(self) -> bool:
        """A program by itself: no interpreter that runs somebody's script, no launcher."""
        return self.program not in _NOT_NATIVE

    @property
    def name(self) -> str:
        return self.module or self.script or self.program


_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ash", "ksh"})
_INTERPRETERS: Final = _SHELLS | {
    "node",
    "julia",
    "Rscript",
    "perl",
    "ruby",
    "lua",
    "luajit",
    "th",
    "java",
}
_NOT_NATIVE: Final = _INTERPRETERS | LAUNCHERS.keys() | {"", "python"}


def parse(argv: tuple[str, ...]) -> Command:
    """What that command line runs."""
    words = argv[:_MAX_WORDS]
    launchers: list[str] = []
    python = False
    for _ in range(_MAX_LAUNCHERS):
        command, rest = _entry(words, python)
        launcher = LAUNCHERS.get(command.name.lower())
        inner = past(launcher, rest) if launcher is not None else _inner(command, rest)
        if not inner:
            return _with_arguments(command, rest, tuple(launchers))
        if launcher is not None:
            launchers.append(command.name.lower())
        python = launcher.python if launcher is not None else bool(command.module)
        words = inner
    return _with_arguments(*_entry(words, python), tuple(launchers))


def base(path: str) -> str:
    """The last part of a path."""
    return path.rstrip("/").rpartition("/")[2]


def _entry(words: tuple[str, ...], python: bool) -> tuple[Command, tuple[str, ...]]:
    """The program, module or script at the head of these words, and the words behind it."""
    if not words:
        return Command(), ()
    program = base(words[0]).lstrip("-")  # a login shell is called "-bash"
    if _PYTHON.fullmatch(program):
        return _python("python", words[1:])
    if python and (words[0] == "-m" or words[0] == "--module" or words[0].endswith(".py")):
        return _python("python", words)
    if program in _INTERPRETERS:
        return _interpreted(program, words[1:])
    if program.endswith(".py"):  # started by its first line
        return _script("python", words[0]), words[1:]
    return Command(program=program, folders=_folders(words[0])), words[1:]


def _python(program: str, words: tuple[str, ...]) -> tuple[Command, tuple[str, ...]]:
    """Python's own options (python(1)): -c CODE and -m MODULE end them, -W and -X take a value."""
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--module" or re.fullmatch(r"-[A-Za-z]*m", word):
            module = words[index] if index < len(words) else ""
            return Command(program=program, module=module), words[index + 1 :]
        if word == "-" or re.match(r"-[bBdEiIOPqRsSuvx]*c", word):
            code = words[index] if index < len(words) and word != "-" else ""
            found = _IMPORT.search(code[:_CODE_CHARACTERS])
            imported = found[1] if found else ""  # the rest is nothing that may be shown
            return Command(program=program, imported=imported), words[index + 1 :]
        if word in {"-W", "-X", "--check-hash-based-pycs"}:
            index += 1
        elif not word.startswith("-"):
            return _script(program, word), words[index:]
    return Command(program=program), ()


def _interpreted(program: str, words: tuple[str, ...]) -> tuple[Command, tuple[str, ...]]:
    """Another interpreter's script: its first plain word, if that looks like one. Behind -c or -e
    there is code, and behind unknown options anything: the value of one (`-t auto`) is passed over.
    """
    for index, word in enumerate(words):
        if re.match(r"-[a-z]*[ce]$", word):
            break
        if not word.startswith("-"):
            if _SCRIPT_ENDING.search(word):
                return _script(program, word), words[index + 1 :]
            if not index or not words[index - 1].startswith("-"):
                break
    return Command(program=program), words


def _script(program: str, path: str) -> Command:
    return Command(program=program, script=base(path), folders=_folders(path))


def _folders(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/")[:-1] if part not in {"", ".", ".."})


def _inner(command: Command, rest: tuple[str, ...]) -> tuple[str, ...]:
    """What an unlisted launcher starts: a shell's simple line, or the script given to a module
    that is called launch or run."""
    if not _LAUNCHES.isdisjoint(command.module.lower().split(".")):
        for index, word in enumerate(rest[:_NEAR]):
            if word.endswith(".py") and not word.startswith("-"):
                return rest[index:]
    return _shell_line(command, rest)


_LAUNCHES: Final = frozenset({"launch", "launcher", "run", "runner"})
_NEAR: Final = 12


def _shell_line(command: Command, rest: tuple[str, ...]) -> tuple[str, ...]:
    """`bash -c "exec python train.py"`: the words of the line, when it is one simple command; of
    several, as in `cd /app && python serve.py > log`, those of the last one, if that is Python's
    or a launcher's. Whatever else is in a shell's line may be a secret."""
    if command.name not in _SHELLS or len(rest) < 2 or not re.fullmatch(r"-[a-z]*c", rest[0]):
        return ()
    line = rest[1][:_CODE_CHARACTERS]
    if not re.search(r"[;&|<>()`$\n\"']", line):
        return tuple(line.split())
    last = re.split(r"&&|\|\||[;\n]", line.strip().rstrip("&; "))[-1]
    try:
        words = shlex.split(re.split(r"\d?[<>|&]", last)[0])
    except ValueError:  # quotes that don't end
        return ()
    while words and words[0] == "exec":
        del words[0]
    known = words and (_PYTHON.fullmatch(base(words[0])) or base(words[0]) in LAUNCHERS)
    return tuple(words) if known else ()


def _with_arguments(command: Command, rest: tuple[str, ...], launchers: tuple[str, ...]) -> Command:
    words: list[str] = []
    options: dict[str, str] = {}
    for kind, word in _arguments(rest):
        if kind is None:
            if not options:
                words.append(word)
        else:
            options.setdefault(kind, word)
    return Command(
        command.program,
        command.module,
        command.script,
        command.folders,
        tuple(words),
        options,
        launchers,
        command.imported,
    )


def _arguments(words: tuple[str, ...]) -> Iterator[tuple[str | None, str]]:
    """Options with their values, plain words as (None, word). A plain word behind an option is
    its value: some are not, but nothing on a command line says which."""
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        name, given, value = word.partition("=")
        if word.startswith("-") and len(word) > 1:
            if not given and index < len(words) and not _is_option(words[index]):
                value = words[index]
                index += 1
            yield _option(name), value
        elif given and name and " " not in name and "/" not in name:
            yield _option(name), value  # Hydra, gin, key=value
        else:
            yield None, word


def _is_option(word: str) -> bool:
    return word.startswith("-") and len(word) > 1 and not word[1].isdigit() and word[1] != "."


def _option(name: str) -> str:
    if len(name) <= 2:
        return name.lstrip("-")
    plain = name.lstrip("-+~").replace("_", "-")
    return plain if plain.islower() else plain.lower()
