"""Compiled modules, and `python -m glean_py compile`. What needs glean_parser is skipped where there is none."""

import ast
import enum
import importlib.util
import json
import os
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import count_errors, read_pings

import glean_py
from glean_py import Glean, __main__, _ffi, compiled, metrics, testing
from glean_py._compile.module import SINCE

DATA = Path(__file__).resolve().parent / "data"
PACKAGE = Path(glean_py.__file__).resolve().parent
HEAD = "$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0\n"
REQUIRED = "bugs: [u], data_reviews: [u], notification_emails: [a@example.com], expires: never, description: d"

# A library of the parser deprecated what it uses.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def import_file(file, name="telemetry"):
    """Return the module in a file, imported anew."""
    spec = importlib.util.spec_from_file_location(name, str(file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def telemetry():
    """The compiled module of the data folder, imported anew in a Glean that runs in a new directory."""
    module = import_file(DATA / "telemetry.py")
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    yield module
    Glean._reset()


@pytest.fixture
def compile_text(parser, tmp_path):
    """A function that compiles metrics from `category: {name: fields}` and returns the file."""

    def compile_text(metrics_by_category, *options):
        lines = [HEAD]
        for category, fields_by_name in metrics_by_category.items():
            lines.append(f"{category}:\n")
            lines += [f"  {name}: {{{REQUIRED}, {fields}}}\n" for name, fields in fields_by_name.items()]
        (tmp_path / "metrics.yaml").write_text("".join(lines), encoding="utf-8")
        output = tmp_path / "compiled_text.py"
        assert __main__.main(["compile", str(tmp_path / "metrics.yaml"), "-o", str(output), *options]) == 0
        return output

    return compile_text


# --- What a compiled module does; no parser is needed.


def test_a_compiled_module_records(telemetry):
    tree = telemetry.metrics
    tree.plain.flag.set(True)
    tree.plain.count.add(2)
    tree.plain.words.set(["a"])
    tree.plain.spread.accumulate_samples([14])
    tree.plain.sizes.accumulate(0)
    tree.labeled.by_hand.words["only"].set("x")
    tree.labeled.by_hand.words["other"].set("y")
    tree.labeled.by_hand.spreads["a"].accumulate_samples([1])
    tree.labeled.by_hand.pairs.get("read", "fast").add(2)
    tree.ratios.requests.add(2)
    tree.names.import_.add()
    telemetry.pings.custom.submit(telemetry.pings.custom_reason_codes.SECOND_ONE.value)
    (sent,) = read_pings(name="custom")
    assert sent.body["ping_info"]["reason"] == "second-one"
    assert sent.body["metrics"] == {
        "boolean": {"plain.flag": True},
        "counter": {"names.import": 1, "plain.count": 2, "ratios.requests": 2},
        "custom_distribution": {"plain.spread": {"sum": 14, "values": {"13": 1}}},
        "dual_labeled_counter": {"labeled.by_hand.pairs": {"read": {"fast": 2}}},
        "labeled_custom_distribution": {"labeled.by_hand.spreads": {"a": {"sum": 1, "values": {"1": 1}}}},
        "labeled_string": {"labeled.by_hand.words": {"only": "x", "__other__": "y"}},
        "memory_distribution": {"plain.sizes": {"sum": 0, "values": {"0": 1}}},
        "rate": {
            "ratios.failures": {"numerator": 0, "denominator": 2},
            "ratios.timeouts": {"numerator": 0, "denominator": 2},
        },
        "string_list": {"plain.words": ["a"]},
    }


@pytest.fixture
def made(monkeypatch):
    """The descriptions of what is made from now on; none of it reaches the core."""
    descriptions = []

    def make(_, description):
        descriptions.append(json.loads(description))
        return 0

    monkeypatch.setattr(_ffi, "make", make)
    return descriptions


def test_metrics_are_made_when_they_are_used_and_pings_at_once(made):
    telemetry = import_file(DATA / "telemetry.py")
    assert [fields["name"] for fields in made] == ["custom", "kebab-case", "on-its-own"]
    del made[:]
    counter = telemetry.metrics.plain.count
    assert telemetry.metrics.plain.count is counter
    assert vars(telemetry.metrics.plain)["count"] is counter
    assert [fields["name"] for fields in made] == ["count"]


def test_threads_that_are_first_get_the_same_object():
    start = threading.Barrier(4)

    def read(plain):
        start.wait(600)
        return plain.duration

    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            plain = import_file(DATA / "telemetry.py").metrics.plain
            assert set(threads.map(read, [plain] * 4)) == {plain.duration}


def test_a_metric_is_found_through_a_subclass_and_an_object():
    plain = import_file(DATA / "telemetry.py").metrics.plain
    mine: Any = type("Mine", (plain,), {})
    assert mine().count is mine.count is plain.count
    assert "count" not in vars(mine)


def test_descriptions_are_docstrings():
    telemetry = import_file(DATA / "telemetry.py")
    assert telemetry.metrics.plain.count.__doc__ == "A flag."
    assert telemetry.pings.custom.__doc__ == "What the metrics of the tests are sent in."
    assert telemetry.metrics.names.import_.__doc__ == (
        'Has a name that is a word of Python\'s own; says "so", and C:\\new\\table.\n\n'
        'Indented, with """quotes""" – and more.'
    )


def test_names_that_python_cannot_spell_have_two():
    names = import_file(DATA / "telemetry.py").metrics.names
    assert getattr(names, "import") is names.import_ is getattr(names, "import")
    assert getattr(names, "__private") is names.private_
    assert getattr(names, "class") is names.class_
    assert type(names.class_.metrics.x) is type(names.metrics) is metrics.CounterMetricType


def test_reasons_are_enumerations():
    pings = import_file(DATA / "telemetry.py").pings
    codes = pings.custom_reason_codes
    assert issubclass(codes, enum.Enum) and codes.__name__ == "CustomReasonCodes"
    assert [(code.name, code.value) for code in codes] == [("FIRST", 0), ("SECOND-ONE", 1)]
    assert codes.SECOND_ONE is codes["SECOND-ONE"]
    assert list(pings.kebab_case_reason_codes) == []


def test_extras_take_declared_keys_of_declared_types(telemetry):
    happened = telemetry.metrics.happened
    extra = happened.OpenedExtra(key="a", number=5, is_new=False, **{"two words": "b", "self": "c"})
    happened.opened.record(extra)
    (recorded,) = happened.opened.test_get_value()
    assert recorded.extra == {"key": "a", "number": "5", "is_new": "false", "two words": "b", "self": "c"}
    assert (extra.key, happened.OpenedExtra().number) == ("a", None)
    for wrong in ({"nothing": "a"}, {"key": 5}, {"key": None}, {"number": "5"}, {"is_new": 1}, {"two words": 5}):
        with pytest.raises(TypeError):
            happened.OpenedExtra(**wrong)
    with pytest.raises(TypeError):
        happened.PlainlyExtra(key="a")
    extra.key = 5
    with pytest.raises(TypeError, match="^Type <class 'int'> not supported for key$"):
        happened.opened.record(extra)


def test_objects_are_made_of_parts(telemetry):
    part = telemetry.metrics.structured
    lamp = part.RoomsObjectItemItemLampObject("green", part.RoomsObjectItemItemLampObjectItemMakerObject())
    windows = part.RoomsObjectItemItemWindows([part.RoomsObjectItemItemWindowsItem(width=2)])
    room = part.RoomsObjectItem(name="Hall", area=20.5, lamp=lamp, windows=windows)
    part.rooms.set(part.RoomsObject([room, part.RoomsObjectItem(is_free=True)]))
    assert part.rooms.test_get_value() == [
        {"name": "Hall", "area": 20.5, "lamp": {"color": "green", "maker": {}}, "windows": [{"width": 2}]},
        {"is_free": True},
    ]
    assert part.RoomsObjectItem("Hall") == part.RoomsObjectItem(name="Hall") != part.RoomsObjectItem()
    assert repr(part.RoomsObjectItemItemWindowsItem(2)).endswith("RoomsObjectItemItemWindowsItem(width=2)")
    part.house.set(part.HouseObject("tall", door=part.HouseObjectItemDoorObject()))
    assert part.house.test_get_value() == {"self": "tall", "door": {}}
    part.house.set(room)
    assert count_errors(part.house) == {"INVALID_VALUE": 1}
    with pytest.raises(TypeError):
        part.RoomsObjectItem(nothing=1)


def test_a_compiled_module_needs_no_parser_and_no_slow_imports():
    tops = []
    for node in ast.parse((DATA / "telemetry.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            tops += [alias.name for alias in node.names]
        elif isinstance(node, (ast.ImportFrom, ast.Try)):
            inner = node.body[0] if isinstance(node, ast.Try) else node
            assert isinstance(inner, ast.ImportFrom)
            tops.append(inner.module or "")
    assert tops == ["__future__", "enum", "glean_py", "glean_py.compiled"]


# --- Versions that don't fit.


def test_a_module_for_a_newer_glean_is_refused(tmp_path):
    text = (DATA / "telemetry.py").read_text(encoding="utf-8")
    assert text.count("interface=1, ") == 1
    (tmp_path / "telemetry.py").write_text(text.replace("interface=1, ", "interface=99, "), encoding="utf-8")
    with pytest.raises(ImportError) as raised:
        import_file(tmp_path / "telemetry.py")
    assert str(raised.value) == (
        f"telemetry was compiled for glean_py {SINCE} or newer, but the core here is {glean_py.__version__}: it has "
        f"version {compiled.INTERFACE} of what compiled modules are made of, not 99. To fix it, python -m pip install "
        f"--upgrade 'glean_py>={SINCE}', or compile the module again with the installed one."
    )


@pytest.mark.parametrize(
    "version, is_refused", [("0.0.9", True), ("0.1.0-rc.1", False), ("0.2.0", False), ("1.0", False)]
)
def test_a_core_that_is_too_old_is_refused(monkeypatch, version, is_refused):
    monkeypatch.setattr(glean_py, "__version__", version)
    if is_refused:
        with pytest.raises(
            ImportError, match=f"^telemetry was compiled for .* or newer, but the core here is {version}. "
        ):
            import_file(DATA / "telemetry.py")
    else:
        import_file(DATA / "telemetry.py")


def test_a_module_for_an_older_glean_is_refused(monkeypatch):
    monkeypatch.setattr(compiled, "OLDEST_INTERFACE", 2)
    with pytest.raises(
        ImportError, match="^telemetry was compiled for a glean_py older than .* compile the module again"
    ):
        import_file(DATA / "telemetry.py")


def test_a_glean_that_cannot_serve_compiled_modules_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "glean_py.compiled", None)
    with pytest.raises(ImportError, match="^telemetry was compiled for glean_py .* or newer.*pip install --upgrade"):
        import_file(DATA / "telemetry.py")


# --- What is built in.


def test_the_built_in_pings_are_there_with_the_definitions_of_the_core(made):
    import_file(PACKAGE / "_builtins.py", "builtins_again")
    reasons = {
        "baseline": ["active", "dirty_startup", "inactive"],
        "metrics": ["overdue", "reschedule", "today", "tomorrow", "upgrade"],
        "events": ["inactive", "max_capacity", "startup"],
        "health": ["pre_init"],
        "deletion-request": ["at_init", "set_upload_enabled"],
    }
    assert {fields.pop("name"): fields for fields in made} == {
        name: {
            "include_client_id": True,
            "send_if_empty": name != "metrics",
            "precise_timestamps": True,
            "include_info_sections": True,
            "schedules_pings": [],
            "reason_codes": codes,
            "uploader_capabilities": [],
            "enabled": True,
            "follows_collection_enabled": True,
        }
        for name, codes in reasons.items()
    }


def test_what_is_built_in_can_be_read(ping):
    from glean_py import _builtins

    tree = _builtins.metrics
    assert tree.glean.internal.metrics.os.test_get_value("glean_client_info")
    assert tree.glean.health.init_count.test_get_value("health") == 1
    counter = metrics.CounterMetricType(
        metrics.CommonMetricData(
            category="test_compile",
            name="negative",
            send_in_pings=["custom"],
            lifetime=metrics.Lifetime.PING,
            disabled=False,
        )
    )
    counter.add(-1)
    assert tree.glean.error.invalid_value.test_get_value("metrics")["test_compile.negative"] == 1
    _builtins.pings.metrics.submit(_builtins.pings.metrics_reason_codes.TODAY.value)
    assert read_pings(name="metrics")[0].body["ping_info"]["reason"] == "today"


def test_what_is_built_in_is_compiled_from_its_yaml(parser, capsys):
    paths = [str(PACKAGE / name) for name in ("metrics.yaml", "pings.yaml")]
    output = str(PACKAGE / "_builtins.py")
    assert __main__.main(["compile", *paths, "--allow-reserved", "-o", output, "--check"]) == 0, capsys.readouterr().err


# --- The compiler.


def test_the_module_of_the_data_folder_is_up_to_date(parser, capsys):
    paths = [str(DATA / name) for name in ("metrics.yaml", "pings.yaml")]
    assert __main__.main(["compile", *paths, "-o", str(DATA / "telemetry.py"), "--check"]) == 0, capsys.readouterr().err


def test_loaded_and_compiled_metrics_are_the_same(parser, made):
    glean_py.load_metrics([DATA / "metrics.yaml", DATA / "pings.yaml"])
    loaded = sorted(made, key=repr)
    del made[:]

    def make_all(group):
        compiled.make_all(group)
        for value in list(vars(group).values()):
            if type(value) is type:
                make_all(value)

    make_all(import_file(DATA / "telemetry.py").metrics)
    assert sorted(made, key=repr) == loaded


def test_the_text_depends_on_nothing_but_the_files(parser, tmp_path, monkeypatch):
    texts = set()
    for number in range(2):
        folder = tmp_path / f"checkout{number}"
        (folder / "source").mkdir(parents=True)
        for name in ("metrics.yaml", "pings.yaml"):
            shutil.copyfile(str(DATA / name), str(folder / "source" / name))
        monkeypatch.chdir(folder if number else tmp_path)
        start = Path() if number else folder
        paths = [str(start / "source" / name) for name in ("metrics.yaml", "pings.yaml")]
        assert __main__.main(["compile", *paths, "-o", str(start / "made.py")]) == 0
        texts.add((folder / "made.py").read_bytes())
    (text,) = texts
    assert b"python -m glean_py compile source/metrics.yaml source/pings.yaml -o made.py\n" in text
    assert b"checkout" not in text and b"\r" not in text


def test_files_without_a_folder_in_common_are_named_without_theirs():
    from glean_py import _compile

    root = os.path.abspath(os.sep)
    there, here = os.path.join(root, "there", "m.yaml"), os.path.join(root, "here", "t.py")
    assert _compile.relative_name(Path(there), Path(here)) == "m.yaml"


def test_a_module_is_written_once_and_then_left_alone(compile_text, capsys):
    fields = {"ui": {"x": "type: counter"}}
    output = compile_text(fields)
    os.utime(str(output), (1, 1))
    compile_text(fields)
    assert output.stat().st_mtime == 1
    assert [line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines()] == ["written", "up to date"]
    assert sorted(file.name for file in output.parent.iterdir()) == ["compiled_text.py", "metrics.yaml"]


def test_check_tells_what_is_out_of_date_and_writes_nothing(compile_text, capsys):
    output = compile_text({"ui": {"x": "type: counter"}})
    old = output.read_bytes()
    source = output.parent / "metrics.yaml"
    source.write_text(source.read_text(encoding="utf-8").replace("counter", "string"), encoding="utf-8")
    arguments = ["compile", str(source), "-o", str(output), "--check"]
    assert __main__.main(arguments) == 1
    assert output.read_bytes() == old
    told = capsys.readouterr().err
    assert "\n-            return gm.CounterMetricType(\n+            return gm.StringMetricType(\n" in told
    assert f"To fix it: python -m glean_py compile {source} -o {output}" in told
    output.unlink()
    assert __main__.main(arguments) == 1
    assert f"{output} does not exist" in capsys.readouterr().err
    assert not output.exists()


def test_a_failed_compilation_leaves_the_old_module(compile_text, capsys):
    output = compile_text({"ui": {"x": "type: counter"}})
    old = output.read_bytes()
    source = output.parent / "metrics.yaml"
    source.write_text(f"{HEAD}ui:\n  x: {{type: counter}}\n", encoding="utf-8")
    assert __main__.main(["compile", str(source), "-o", str(output)]) == 1
    assert "error: " in capsys.readouterr().err
    assert output.read_bytes() == old
    assert len(list(output.parent.iterdir())) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["nothing.yaml"], "error: there is no file nothing.yaml"),
        (["metrics.yaml", "--interesting", "nothing.yaml"], "error: there is no file nothing.yaml"),
        (["reserved.yaml"], "Categories beginning with 'glean' are reserved"),
        (["tags.yaml"], "error: tags.yaml defines neither metrics nor pings, so there is nothing to compile"),
        (["rate.yaml"], "error: ui.x cannot be compiled: no counter here is called ui.nowhere, the denominator it"),
        (["dunder.yaml"], "error: ui.__slots__ cannot be compiled: in a Python class, names such as __slots__"),
        (["field.yaml"], "error: ui.x cannot be compiled: in a Python class, names such as its field __y"),
    ],
)
def test_what_cannot_be_compiled_is_told(parser, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.yaml").write_text(f"{HEAD}ui:\n  x: {{{REQUIRED}, type: counter}}\n", encoding="utf-8")
    (tmp_path / "reserved.yaml").write_text(f"{HEAD}glean.ui:\n  x: {{{REQUIRED}, type: counter}}\n", encoding="utf-8")
    (tmp_path / "dunder.yaml").write_text(f"{HEAD}ui:\n  __slots__: {{{REQUIRED}, type: counter}}\n", encoding="utf-8")
    (tmp_path / "tags.yaml").write_text(
        f"{HEAD.replace('metrics/2', 'tags/1')}t: {{description: d}}\n", encoding="utf-8"
    )
    rate = "type: rate, denominator_metric: ui.nowhere"
    (tmp_path / "rate.yaml").write_text(f"{HEAD}ui:\n  x: {{{REQUIRED}, {rate}}}\n", encoding="utf-8")
    field = "type: object, structure: {type: object, properties: {__y: {type: string}}}"
    (tmp_path / "field.yaml").write_text(f"{HEAD}ui:\n  x: {{{REQUIRED}, {field}}}\n", encoding="utf-8")
    assert __main__.main(["compile", *options, "-o", "made.py"]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made.py").exists()


def test_a_type_that_nobody_knows_yet_is_told():
    from glean_py._compile.module import CompileError, render
    from glean_py._definitions import Definition

    unknown = Definition("telepathy", "ui", "x", "ui.x", "d", None)
    with pytest.raises(CompileError, match="^ui.x cannot be compiled: this glean_py does not know the type telepathy;"):
        render([unknown], ["metrics.yaml"], "made.py", [])


def test_a_folder_that_is_missing_is_told(parser, tmp_path, capsys):
    output = tmp_path / "nothing" / "made.py"
    assert __main__.main(["compile", str(DATA / "metrics.yaml"), "-o", str(output)]) == 1
    assert "error: " in capsys.readouterr().err


def test_options_reach_the_parser_and_the_command_in_the_module(compile_text):
    output = compile_text({"glean.x": {"y": "type: counter"}}, "--allow-reserved")
    assert "python -m glean_py compile metrics.yaml --allow-reserved -o compiled_text.py\n" in output.read_text()
    expiry = {"ui": {"x": "type: counter, expires: 5"}}
    assert "disabled=True" in compile_text(expiry, "--expire-by-version", "5").read_text()
    assert "--expire-by-version=5" in output.read_text()
    assert "# Disabled: it has expired with 5." in output.read_text()
    assert "disabled=False" in compile_text(expiry, "--expire-by-version", "4").read_text()
    assert (
        "disabled=False"
        in compile_text({"ui": {"x": "type: counter, expires: 2020-01-01"}}, "--do-not-disable-expired").read_text()
    )


def test_metrics_that_are_not_interesting_are_disabled(compile_text):
    output = compile_text({"ui": {"x": "type: counter", "y": "type: counter"}})
    interesting = output.parent / "interesting.yaml"
    interesting.write_text(f"{HEAD}ui:\n  x: {{{REQUIRED}, type: counter}}\n", encoding="utf-8")
    compile_text({"ui": {"x": "type: counter", "y": "type: counter"}}, "--interesting", str(interesting))
    assert re.findall(r'name="(.)"|disabled=(\w+)', output.read_text()) == [
        ("x", ""),
        ("", "False"),
        ("y", ""),
        ("", "True"),
    ]
    assert "--interesting interesting.yaml" in output.read_text()


def test_without_a_parser_the_error_says_what_to_install(monkeypatch, capsys, tmp_path):
    for name in ("glean_parser", "glean_parser.parser"):
        monkeypatch.setitem(sys.modules, name, None)
    assert __main__.main(["compile", str(DATA / "metrics.yaml"), "-o", str(tmp_path / "made.py")]) == 1
    assert "glean_py[yaml]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["compile"], ["compile", "m.yaml"], ["nothing"], ["compile", "m.yaml", "-x"]]
)
def test_a_wrong_command_line_has_an_exit_status_of_its_own(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        __main__.main(arguments)
    assert raised.value.code == 2
    assert "usage: python -m glean_py" in capsys.readouterr().err


def test_the_help_says_how_to_use_it(capsys):
    for arguments in (["--help"], ["compile", "--help"]):
        with pytest.raises(SystemExit) as raised:
            __main__.main(arguments)
        assert raised.value.code == 0
    told = capsys.readouterr().out
    assert "from telemetry import metrics, pings" in told
    for option in ("--output", "--check", "--allow-reserved", "--do-not-disable-expired", "--expire-by-version"):
        assert option in told


@pytest.mark.parametrize(
    "description",
    [
        '"starts with a quote and ends with one"',
        "ends with a backslash\\",
        "C:\\new\\table and \\\\server",
        '"""',
        "  tab\there  ",
        "control \x07 character, line \u2028 separator",
        "emoji 🎉 and ünïcödé",
        "{braces} %s 'apostrophes'",
    ],
)
def test_any_description_survives(parser, tmp_path, description):
    fields = {"type": "counter", "bugs": ["u"], "data_reviews": ["u"], "notification_emails": ["a@example.com"]}
    content = {
        "$schema": "moz://mozilla.org/schemas/glean/metrics/2-0-0",
        "ui": {"x": {"expires": "never", "description": description, **fields}},
    }
    # JSON is YAML, apart from pairs of surrogates and a character that ends lines in YAML.
    text = json.dumps(content, ensure_ascii=False).replace("\u2028", "\\u2028")
    (tmp_path / "metrics.yaml").write_text(text, encoding="utf-8")
    output = tmp_path / "made.py"
    assert __main__.main(["compile", str(tmp_path / "metrics.yaml"), "-o", str(output)]) == 0
    expected = description.expandtabs().strip()
    assert import_file(output).metrics.ui.x.__doc__.strip() == expected


def test_things_with_one_name_get_several(compile_text):
    parts = "aB: {type: object, properties: {}}, ab: {type: object, properties: {}}"
    structure = f"structure: {{type: object, properties: {{{parts}}}}}"
    ui = import_file(
        compile_text(
            {
                "ui": {"button": "type: counter", "x": f"type: object, {structure}", "_": "type: event"},
                "ui.button": {"y": "type: string"},
            }
        )
    ).metrics.ui
    assert type(ui.button) is metrics.CounterMetricType
    assert type(ui.button_.y) is metrics.StringMetricType
    assert ui.XObjectItemAbObject is not ui.XObjectItemAbObject_
    assert type(ui._) is metrics.EventMetricType


def test_any_extra_key_can_be_compiled(compile_text):
    keys = ["self", "self_", "others", "to_ffi_extra", "__class__", "class", "str", "Optional", "Unset", "a b", "super"]
    declared = ", ".join(f"{key}: {{description: d}}" for key in keys)
    extra_class = import_file(compile_text({"ui": {"x": f"type: event, extra_keys: {{{declared}}}"}})).metrics.ui.XExtra
    assert extra_class(**{key: key for key in keys}).to_ffi_extra() == {key: key for key in keys}
