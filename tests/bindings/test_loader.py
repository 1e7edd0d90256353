"""Metrics and pings from YAML. What needs glean_parser is skipped where there is none: that needs Python 3.9."""

import dataclasses
import enum
import importlib
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from conftest import count_errors, read_pings

import glean_py
from glean_py import Glean, _definitions, _ffi, metrics, testing

DATA = Path(__file__).resolve().parent / "data"
HEAD = "$schema: moz://mozilla.org/schemas/glean/metrics/2-0-0\n"
REQUIRED = "bugs: [u], data_reviews: [u], notification_emails: [a@example.com], expires: never, description: d"

# A library of the parser deprecated what it uses.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def tree(parser):
    """The metrics and pings of the data folder."""
    return glean_py.load_metrics([DATA / "metrics.yaml", str(DATA / "pings.yaml")])


@pytest.fixture
def running_tree(tree):
    """The same, in a Glean that runs in a new directory."""
    testing.reset_glean(application_id="glean-tests", application_version="1.0")
    yield tree
    Glean._reset()


@pytest.fixture
def load(parser, tmp_path):
    """A function that loads metrics from `category: {name: fields}`, with the required fields added."""

    def load(metrics_by_category, **config):
        lines = [HEAD]
        for category, fields_by_name in metrics_by_category.items():
            lines.append(f"{category}:\n")
            lines += [f"  {name}: {{{REQUIRED}, {fields}}}\n" for name, fields in fields_by_name.items()]
        file = tmp_path / "metrics.yaml"
        file.write_text("".join(lines), encoding="utf-8")
        return glean_py.load_metrics(file, config or None)

    return load


def write(folder, text, name="metrics.yaml"):
    """Write a file and return its path."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    "path, name",
    [
        ("plain.flag", "BooleanMetricType"),
        ("plain.count", "CounterMetricType"),
        ("plain.amount", "QuantityMetricType"),
        ("plain.word", "StringMetricType"),
        ("plain.words", "StringListMetricType"),
        ("plain.prose", "TextMetricType"),
        ("plain.link", "UrlMetricType"),
        ("plain.identity", "UuidMetricType"),
        ("plain.day", "DatetimeMetricType"),
        ("plain.duration", "TimespanMetricType"),
        ("plain.durations", "TimingDistributionMetricType"),
        ("plain.sizes", "MemoryDistributionMetricType"),
        ("plain.spread", "CustomDistributionMetricType"),
        ("labeled.by_hand.flags", "LabeledBooleanMetricType"),
        ("labeled.by_hand.counts", "LabeledCounterMetricType"),
        ("labeled.by_hand.amounts", "LabeledQuantityMetricType"),
        ("labeled.by_hand.words", "LabeledStringMetricType"),
        ("labeled.by_hand.durations", "LabeledTimingDistributionMetricType"),
        ("labeled.by_hand.sizes", "LabeledMemoryDistributionMetricType"),
        ("labeled.by_hand.spreads", "LabeledCustomDistributionMetricType"),
        ("labeled.by_hand.pairs", "DualLabeledCounterMetricType"),
        ("ratios.errors", "RateMetricType"),
        ("ratios.failures", "NumeratorMetricType"),
        ("ratios.requests", "DenominatorMetricType"),
        ("happened.plainly", "EventMetricType"),
        ("structured.rooms", "ObjectMetricType"),
        ("pings.custom", "PingType"),
    ],
)
def test_every_type_loads(tree, path, name):
    found = tree
    for part in path.split("."):
        found = getattr(found, part)
    assert type(found) is getattr(metrics, name)


def test_what_is_loaded_records(running_tree):
    tree = running_tree
    tree.plain.link.set("https://example.com/")
    tree.plain.prose.set("text")
    tree.plain.spread.accumulate_samples([14])
    tree.ratios.errors.add_to_numerator(1)
    tree.labeled.by_hand.pairs.get("read", "fast").add(2)
    tree.pings.custom.submit(tree.pings.custom_reason_codes.FIRST.value)
    (sent,) = read_pings(name="custom")
    assert sent.body["ping_info"]["reason"] == "first"
    assert sent.body["metrics"] == {
        "custom_distribution": {"plain.spread": {"sum": 14, "values": {"13": 1}}},
        "dual_labeled_counter": {"labeled.by_hand.pairs": {"read": {"fast": 2}}},
        "rate": {"ratios.errors": {"numerator": 1, "denominator": 0}},
        "text": {"plain.prose": "text"},
        "url": {"plain.link": "https://example.com/"},
    }


def test_static_labels_are_the_only_ones(running_tree):
    counts = running_tree.labeled.by_hand.counts
    for label in ("one", "two", "three"):
        counts[label].add()
    assert counts.test_get_value() == {"one": 1, "two": 1, "__other__": 1}
    pairs = running_tree.labeled.by_hand.pairs
    pairs.get("write", "any").add()
    pairs.get("delete", "any").add()
    running_tree.pings.custom.submit()
    (sent,) = read_pings(name="custom")
    found = sent.body["metrics"]["dual_labeled_counter"]["labeled.by_hand.pairs"]
    assert found == {"write": {"any": 1}, "__other__": {"any": 1}}


def test_a_denominator_counts_for_its_rates(running_tree):
    ratios = running_tree.ratios
    ratios.requests.add(3)
    ratios.failures.add_to_numerator(1)
    failures, timeouts = ratios.failures.test_get_value(), ratios.timeouts.test_get_value()
    assert (failures.numerator, failures.denominator) == (1, 3)
    assert (timeouts.numerator, timeouts.denominator) == (0, 3)


def test_a_rate_without_its_denominator_still_loads(load):
    tree = load({"ui": {"x": "type: rate, denominator_metric: ui.nowhere"}})
    assert type(tree.ui.x) is metrics.NumeratorMetricType


def test_fields_of_the_description_are_passed_on(tree, monkeypatch):
    made = []

    def make(_, description):
        made.append(description.decode())
        return 0

    monkeypatch.setattr(_ffi, "make", make)
    glean_py.load_metrics([DATA / "metrics.yaml", DATA / "pings.yaml"])

    def fields(name):
        (found,) = [text for text in made if f'"name":"{name}"' in text]
        return found

    # The parser takes the events of YAML for parts of a session unless they say otherwise; glean-sdk does not.
    assert '"in_session":false' in fields("plainly")
    assert '"in_session":false' in fields("opened")
    assert '"send_in_pings":["custom","events"]' in fields("by_default")
    assert '"send_in_pings":["custom","metrics"]' in fields("gm")
    assert '"lifetime":"application"' in fields("metrics") and '"lifetime":"user"' in fields("str")
    assert '"type":{"event":["is_new","key","number","self","two words"]}' in fields("opened")
    assert '"type":"counter","is_labeled":true,"labels":["two","one"]' in fields("counts")
    assert '"keys":["read","write"],"categories":null' in fields("pairs")
    assert '"range_min":3,"range_max":77,"bucket_count":9,"histogram_type":"linear"' in fields("spread")
    assert '"range_min":1,"range_max":100,"bucket_count":10,"histogram_type":"exponential"' in fields("spreads")
    assert '"disabled":false' in fields("never")
    for name in ("switched_off", "past", "long_past"):
        assert '"disabled":true' in fields(name)
    assert fields("kebab-case") == (
        '{"name":"kebab-case","include_client_id":false,"send_if_empty":true,"precise_timestamps":false,'
        '"include_info_sections":false,"schedules_pings":[],"reason_codes":[],"uploader_capabilities":["z","a"],'
        '"enabled":false,"follows_collection_enabled":true}'
    )
    assert '"schedules_pings":["kebab-case","on-its-own"],"reason_codes":["first","second-one"]' in fields("custom")
    assert '"enabled":false,"follows_collection_enabled":false' in fields("on-its-own")


@pytest.mark.parametrize("config, count", [({}, None), ({"do_not_disable_expired": True}, 1)])
def test_expired_metrics_are_disabled_unless_they_are_kept(running, load, config, count):
    # The second `expires` wins.
    name = "kept" if config else "expired"
    tree = load({"test_loader": {name: "type: counter, send_in_pings: [custom], expires: 2020-01-01"}}, **config)
    counter = getattr(tree.test_loader, name)
    counter.add()
    assert counter.test_get_value() == count


def test_the_description_is_the_docstring(tree):
    assert tree.plain.count.__doc__ == "A flag."
    assert tree.pings.custom.__doc__ == "What the metrics of the tests are sent in."
    assert getattr(tree.names, "import").__doc__.endswith('Indented, with """quotes""" – and more.\n')


def test_categories_are_nested_classes(tree):
    assert isinstance(tree.labeled.by_hand, type)
    assert type(getattr(tree.names, "class").metrics.x) is metrics.CounterMetricType
    assert type(tree.names.metrics) is metrics.CounterMetricType
    with pytest.raises(AttributeError, match="type object 'plain' has no attribute 'nothing'"):
        tree.plain.nothing  # noqa: B018 - the access is the test


def test_a_metric_can_have_the_name_of_a_category(load):
    button = load({"ui": {"button": "type: counter"}, "ui.button": {"x": "type: string"}}).ui.button
    assert type(button.x) is metrics.StringMetricType
    assert type(button) is metrics.CounterMetricType


def test_every_call_reads_the_files_anew(parser):
    first, second = [glean_py.load_metrics(DATA / "metrics.yaml") for _ in range(2)]
    assert first is not second
    assert first.plain.count is not second.plain.count


def test_pings_load_by_themselves(parser):
    pings = glean_py.load_pings(DATA / "pings.yaml")
    assert pings.kebab_case.name == "kebab-case"
    with pytest.raises(AttributeError, match="type object 'Metrics' has no attribute 'pings'"):
        glean_py.load_pings(DATA / "metrics.yaml")


def test_reasons_are_an_enumeration(tree):
    codes = tree.pings.custom_reason_codes
    assert issubclass(codes, enum.Enum)
    assert codes.__name__ == "CustomReasonCodes"
    assert [(code.name, code.value) for code in codes] == [("FIRST", 0), ("SECOND-ONE", 1)]
    assert codes.SECOND_ONE is codes["SECOND-ONE"]
    assert list(tree.pings.kebab_case_reason_codes) == []


def test_reasons_that_are_no_names_get_one_if_there_is_one():
    reasons = ["a", "A", "a b", "a-b", "1st", "_x_", "-", "class"]
    assert _definitions.reason_members(reasons) == [
        ("A", "A", 1),
        ("A B", "A_B", 2),
        ("A-B", None, 3),
        ("1ST", "_1ST", 4),
        ("_X_", None, 5),
        ("-", None, 6),
        ("CLASS", "CLASS", 7),
    ]


def test_extras_take_declared_keys_of_declared_types(running_tree):
    extra_class = running_tree.happened.OpenedExtra
    event = running_tree.happened.opened
    event.record(extra_class(key="a", number=-5, is_new=True, **{"two words": "b"}))
    event.record(extra_class(is_new=False))
    event.record(extra_class())
    assert [recorded.extra for recorded in event.test_get_value()] == [
        {"key": "a", "number": "-5", "is_new": "true", "two words": "b"},
        {"is_new": "false"},
        {},
    ]
    assert extra_class(key="a").number is None
    assert issubclass(extra_class, metrics.EventExtras)
    with pytest.raises(TypeError):
        running_tree.happened.PlainlyExtra(key="a")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"nothing": 1}, "Argument 'nothing' not valid for OpenedExtra"),
        ({"key": 1}, "Field 'key' requires type string in OpenedExtra"),
        ({"key": None}, "Field 'key' requires type string in OpenedExtra"),
        ({"number": "1"}, "Field 'number' requires type quantity in OpenedExtra"),
        ({"number": 1.0}, "Field 'number' requires type quantity in OpenedExtra"),
        ({"is_new": 1}, "Field 'is_new' requires type boolean in OpenedExtra"),
    ],
)
def test_extras_of_a_wrong_type_are_a_type_error(tree, values, message):
    with pytest.raises(TypeError) as raised:
        tree.happened.OpenedExtra(**values)
    assert str(raised.value) == message


def test_extras_are_checked_again_when_they_are_recorded(tree):
    extra = tree.happened.OpenedExtra(key="a")
    extra.key = 3
    with pytest.raises(TypeError, match="^Type <class 'int'> not supported for key$"):
        extra.to_ffi_extra()
    extra.key, extra.number = None, True
    # Peers write True here.
    assert extra.to_ffi_extra() == {"number": "1"}


def test_extra_keys_may_have_any_name(load):
    keys = ["self", "to_ffi_extra", "__class__", "__dict__", "class", "a b"]
    declared = ", ".join(f"{key}: {{description: d}}" for key in keys)
    extra_class = load({"ui": {"x": f"type: event, extra_keys: {{{declared}}}"}}).ui.XExtra
    assert extra_class(**{key: key for key in keys}).to_ffi_extra() == {key: key for key in keys}


def test_extras_take_members_of_enumerations(tree):
    class Color(str, enum.Enum):
        RED = "red"

    class Number(enum.IntEnum):
        FIVE = 5

    extra = tree.happened.OpenedExtra(key=Color.RED, number=Number.FIVE)
    assert extra.to_ffi_extra() == {"key": "red", "number": "5"}


def test_objects_are_dataclasses_and_lists(running_tree):
    part = running_tree.structured
    maker = part.RoomsObjectItemItemLampObjectItemMakerObject()
    lamp = part.RoomsObjectItemItemLampObject("green", maker)
    windows = part.RoomsObjectItemItemWindows([part.RoomsObjectItemItemWindowsItem(width=2)])
    room = part.RoomsObjectItem(name="Hall", area=20.5, lamp=lamp, windows=windows)
    assert room == dataclasses.replace(room) != dataclasses.replace(room, name="Kitchen")
    assert issubclass(part.RoomsObject, list)
    part.rooms.set(part.RoomsObject([room, part.RoomsObjectItem(is_free=True)]))
    # None is left out at every depth.
    assert part.rooms.test_get_value() == [
        {"name": "Hall", "area": 20.5, "lamp": {"color": "green", "maker": {}}, "windows": [{"width": 2}]},
        {"is_free": True},
    ]
    part.house.set(part.HouseObject("tall", door=part.HouseObjectItemDoorObject()))
    assert part.house.test_get_value() == {"self": "tall", "door": {}}
    with pytest.raises(TypeError):
        part.RoomsObjectItem(nothing=1)


def test_another_object_than_the_declared_is_an_error(running_tree):
    part = running_tree.structured
    part.house.set(part.RoomsObjectItem("Hall"))
    assert part.house.test_get_value() is None
    assert count_errors(part.house) == {"INVALID_VALUE": 1}


@pytest.mark.parametrize(
    "structure, kind, message",
    [
        ("{type: array, items: {type: number}}", ValueError, "Unsupported object type 'number'"),
        ("{type: object, properties: {a: {type: array, items: {type: string}}}}", ValueError, "type 'string'"),
        ("{type: array, items: {oneOf: [{type: string}]}}", ValueError, "Unsupported object type 'oneof'"),
        ("{type: object, properties: {import: {type: string}}}", TypeError, "must not be keywords: 'import'"),
        ("{type: object, properties: {a-b: {type: string}}}", TypeError, "must be valid identifiers: 'a-b'"),
    ],
)
def test_objects_that_are_no_python_classes_are_refused(load, structure, kind, message):
    with pytest.raises(kind, match=message):
        load({"ui": {"x": f"type: object, structure: {structure}"}})


def test_parts_of_objects_never_share_a_name(load):
    ui = load(
        {
            "ui": {
                "x": "type: object, structure: {type: object, properties: {aB: {type: object, properties: {}}, "
                "ab: {type: object, properties: {c: {type: string}}}}}"
            }
        }
    ).ui
    assert dataclasses.fields(ui.XObjectItemAbObject) == ()
    assert [field.name for field in dataclasses.fields(ui.XObjectItemAbObject_)] == ["c"]


def test_errors_of_the_files_are_told_all_at_once(parser, tmp_path):
    file = write(tmp_path, f"{HEAD}glean.x: {{}}\nui:\n  b: {{type: nothing}}\n")
    with pytest.raises(ValueError) as raised:
        glean_py.load_metrics(file)
    first, *others = str(raised.value).split(f"{file.resolve()}:")[1:]
    assert "'nothing' is not one of" in str(raised.value)
    assert "Missing required properties: bugs, data_reviews, description, expires" in str(raised.value)
    assert first.endswith("\n\n") and others


@pytest.mark.parametrize(
    "text, kind, message",
    [
        ("", ValueError, "file can not be empty."),
        ("[1]", ValueError, "Didn't find any metrics in '[{path!r}]'"),
        (HEAD, ValueError, "Didn't find any metrics in '[{path!r}]'"),
        ("a: [", ValueError, "while parsing a flow node"),
        ("a: {b: c}", TypeError, "Invalid schema key None"),
        (HEAD.replace("2-0-0", "9-0-0"), ValueError, "$schema key must be one of"),
        (f"{HEAD}glean.x: {{}}", ValueError, "Categories beginning with 'glean' are reserved for Glean internal use."),
    ],
)
def test_files_that_break_the_rules_are_refused(parser, tmp_path, text, kind, message):
    file = write(tmp_path, text)
    with pytest.raises(kind) as raised:
        glean_py.load_metrics(file)
    assert message.format(path=file) in str(raised.value)


def test_a_missing_file_is_told_unless_it_may_be_missing(parser, tmp_path):
    file = tmp_path / "nothing.yaml"
    with pytest.raises(FileNotFoundError):
        glean_py.load_metrics(file)
    with pytest.raises(ValueError, match="Didn't find any metrics in"):
        glean_py.load_metrics(file, {"allow_missing_files": True})
    assert glean_py.load_metrics([file, DATA / "metrics.yaml"], {"allow_missing_files": True}).plain.count


@pytest.mark.parametrize("argument", [None, 5, ("a.yaml",), {"a.yaml"}])
def test_what_is_no_path_is_a_type_error(parser, argument):
    with pytest.raises(TypeError):
        glean_py.load_metrics(argument)


def test_reserved_categories_need_an_option(load):
    tree = load(
        {"glean.x": {"y": "type: counter"}, "glean.internal.metrics": {"z": "type: counter"}}, allow_reserved=True
    )
    assert type(tree.glean.x.y) is metrics.CounterMetricType
    assert type(tree.glean.internal.metrics.z) is metrics.CounterMetricType


def test_a_tag_is_there_and_says_what_it_cannot_do(parser, tmp_path):
    text = "$schema: moz://mozilla.org/schemas/glean/tags/1-0-0\nmytag: {description: d}\n"
    tag = glean_py.load_metrics(write(tmp_path, text, "tags.yaml")).tags.mytag
    assert tag.__doc__ == "d"
    with pytest.raises(TypeError, match="^The metric type 'tag' is not supported by the Glean Python bindings$"):
        tag.add()


def test_without_a_parser_the_error_says_what_to_install(monkeypatch):
    for name in ("glean_parser", "glean_parser.parser"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError) as raised:
        glean_py.load_metrics("metrics.yaml")
    assert "glean_py[yaml]" in str(raised.value)
    assert "glean_parser~=22.0" in str(raised.value)
    assert "python -m glean_py compile" in str(raised.value)


@pytest.mark.parametrize(
    "version, is_expected",
    [
        ("22.0.1", True),
        ("22.3", True),
        ("1.0.dev3", True),
        ("22.0.0", False),
        ("22.0", False),
        ("21.9.9", False),
        ("23.0.0", False),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_parser_of_another_version_is_warned_about(monkeypatch, version, is_expected):
    package = types.ModuleType("glean_parser")
    vars(package)["__version__"] = version
    monkeypatch.setitem(sys.modules, "glean_parser", package)
    monkeypatch.setitem(sys.modules, "glean_parser.parser", types.ModuleType("glean_parser.parser"))
    if is_expected:
        _definitions.import_parser()
    else:
        with pytest.raises(Warning, match=f"glean_parser ~= 22.0.1, found {version}"):
            _definitions.import_parser()
    assert glean_py.GLEAN_PARSER_VERSION == "22.0.1"


def test_importing_the_package_reads_no_yaml(tmp_path):
    # A process of its own, as other tests have imported all of this.
    code = """
        import sys, glean_py
        heavy = ("_loader", "_definitions", "_compile", "_builtins", "compiled", "_generated")
        found = [name for name in heavy if f"glean_py.{name}" in sys.modules]
        found += [name for name in ("glean_parser", "yaml", "jsonschema", "argparse") if name in sys.modules]
        sys.exit(", ".join(found) or 0)
    """
    program = "\n".join(line.strip() for line in code.strip().splitlines())
    finished = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=str(tmp_path),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr.decode("utf-8", "replace")


@pytest.mark.skipif(sys.version_info < (3, 9), reason="importlib.resources.files is new in Python 3.9")
def test_files_of_a_package_are_read_from_a_folder_and_from_an_archive(parser, tmp_path, monkeypatch):
    from importlib import resources

    folder, archive = tmp_path / "folder", tmp_path / "archive.zip"
    (folder / "in_folder").mkdir(parents=True)
    with zipfile.ZipFile(str(archive), "w") as packed:
        packed.writestr("in_archive/__init__.py", "")
        packed.write(str(DATA / "pings.yaml"), "in_archive/pings.yaml")
    (folder / "in_folder" / "__init__.py").write_text("")
    shutil.copy(str(DATA / "pings.yaml"), str(folder / "in_folder" / "pings.yaml"))
    expected = sorted(vars(glean_py.load_pings(DATA / "pings.yaml")))
    for path, package in ((folder, "in_folder"), (archive, "in_archive")):
        monkeypatch.syspath_prepend(str(path))
        found = resources.files(importlib.import_module(package)) / "pings.yaml"
        assert sorted(vars(glean_py.load_pings(found))) == expected
        assert sorted(vars(glean_py.load_pings([found]))) == expected
