""".circleci/config.yml: valid, one command a job, and each command names something that exists."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glean_steps import circleci, targets

yaml = pytest.importorskip("yaml", reason="PyYAML is not here: run it from the tool environment")

SESSIONS = {
    *("lint", "docs", "tests", "build_windows", "test_windows"),
    *("nightly", "fuzz", "bench", "test_platforms", "release"),
}
JOBS = {*SESSIONS, "wheel"}
ALLOWED_STEPS = {"checkout", "restore_cache", "run", "save_cache", "store_artifacts"}
CACHE_KEYS = ("glean_core/Cargo.lock", "glean_steps/pins.toml", "requirements/tools.txt")


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(__file__).resolve().parents[2] / ".circleci" / "config.yml"


@pytest.fixture(scope="module")
def config(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def steps(config: dict[str, Any], job: str) -> list[tuple[str, Any]]:
    """Return a job's steps as (kind, settings), with the config's own commands written out."""
    found: list[tuple[str, Any]] = []
    for step in config["jobs"][job]["steps"]:
        kind, settings = next(iter(step.items())) if isinstance(step, dict) else (step, None)
        inner = config["commands"][kind]["steps"] if kind in config["commands"] else [{kind: settings}]
        found.extend(next(iter(each.items())) for each in inner)
    return found


def command(config: dict[str, Any], job: str) -> list[str]:
    """Return the words of a job's one command."""
    commands = [settings for kind, settings in steps(config, job) if kind == "run"]
    assert len(commands) == 1, f"{job} has {len(commands)} commands"
    line = commands[0] if isinstance(commands[0], str) else commands[0]["command"]
    assert "\n" not in line.strip(), f"the command of {job} has several lines"
    return shlex.split(line)


def printed(checkout: Path, *arguments: str) -> str:
    """Return what a program of the tool environment prints."""
    argv = [sys.executable, "-B", "-m", *arguments]
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sessions() -> set[str]:
    """The names of nox's sessions, asked of nox itself; as JSON it lists only those that run by default."""
    listed = printed(Path(__file__).resolve().parents[2], "nox", "--list")
    return {line[2:].partition(" -> ")[0] for line in listed.splitlines() if line.startswith(("* ", "- "))}


@pytest.fixture(scope="module")
def tasks() -> set[str]:
    """The names of invoke's tasks, asked of invoke itself."""
    listed = json.loads(printed(Path(__file__).resolve().parents[2], "invoke", "--list", "--list-format=json"))
    return {name for each in listed["tasks"] for name in (each["name"], *each["aliases"])}


def test_the_published_schema_accepts_it(path: Path) -> None:
    """The schema lies inside check-jsonschema; proxies that lead nowhere prove that nobody is asked for it."""
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not here: run it from the tool environment")
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.circle-ci", str(path)]
    env = {**os.environ, **nowhere}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=1800, env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def named(config: dict[str, Any], workflow: str) -> set[str]:
    """Return the names of a workflow's jobs; an approval is none."""
    jobs = config["workflows"][workflow]["jobs"]
    entries = [next(iter(job.items())) if isinstance(job, dict) else (job, {}) for job in jobs]
    return {name for name, settings in entries if settings.get("type") != "approval"}


def test_it_is_what_the_table_of_targets_gives(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == circleci.text(), "write it anew: invoke ci-config"


def test_it_has_the_jobs_that_it_is_for(config: dict[str, Any]) -> None:
    assert set(config["jobs"]) == JOBS
    assert set().union(*(named(config, workflow) for workflow in config["workflows"])) == JOBS


def test_each_wheel_has_a_job_and_arm_builds_its_own(config: dict[str, Any]) -> None:
    every_commit = config["workflows"]["every_commit"]["jobs"]
    jobs = [job["wheel"]["matrix"]["parameters"] for job in every_commit if isinstance(job, dict)]
    places = {tag: on for job in jobs for tag in job["tag"] for on in job["on"]}
    assert set(places) == {target.platform_tag for target in targets.TARGETS}
    assert places["manylinux_2_17_aarch64"] == "debian_arm" and places["macosx_11_0_arm64"] == "debian"


def test_release_waits_for_an_approval_and_a_tag(config: dict[str, Any]) -> None:
    approve, release = config["workflows"]["release"]["jobs"]
    assert approve["approve"]["type"] == "approval" and release["release"]["requires"] == ["approve"]
    assert release["release"]["filters"]["branches"] == {"ignore": "/.*/"}


def test_only_the_nightly_workflow_measures(config: dict[str, Any]) -> None:
    assert [name for name in config["workflows"] if "bench" in named(config, name)] == ["nightly"]
    assert config["workflows"]["nightly"]["triggers"][0]["schedule"]["cron"]


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_job_is_a_checkout_its_caches_and_one_command(config: dict[str, Any], job: str) -> None:
    kinds = [kind for kind, _ in steps(config, job)]
    assert set(kinds) <= ALLOWED_STEPS
    assert [kind for kind in kinds if kind != "store_artifacts"] == ["checkout", "restore_cache", "run", "save_cache"]


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_command_starts_the_tool_environment(config: dict[str, Any], job: str) -> None:
    assert command(config, job)[:2] == ["python3", "bootstrap.py"]
    assert command(config, job)[2] in ("nox", "invoke")


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_command_names_a_session_or_task_that_exists(
    config: dict[str, Any], job: str, request: pytest.FixtureRequest
) -> None:
    words = command(config, job)[2:]
    if words[0] == "nox":
        assert words[1] in ("-s", "--session")
        assert words[2].replace("<< parameters.tag >>", "win32") in request.getfixturevalue("sessions")
    else:
        assert words[1] in request.getfixturevalue("tasks")


@pytest.mark.parametrize("job", sorted(JOBS))
def test_caches_belong_to_what_shapes_them(config: dict[str, Any], job: str) -> None:
    settings = dict(steps(config, job))
    key = settings["save_cache"]["key"]
    assert all(f'{{{{ checksum "{name}" }}}}' in key for name in CACHE_KEYS)
    assert settings["restore_cache"]["keys"][0] == key
    assert all(key.startswith(prefix) for prefix in settings["restore_cache"]["keys"])
    environment = config["executors"]["debian"]["environment"]
    assert environment["GLEAN_CACHE"] in settings["save_cache"]["paths"]
    assert environment["CI"] == "true"


def test_what_a_cache_key_is_made_of_exists(checkout: Path) -> None:
    """A checksum of a file that is not there ends the job."""
    assert [name for name in CACHE_KEYS if not (checkout / name).is_file()] == []


def test_the_wheels_are_kept(config: dict[str, Any]) -> None:
    assert {"path": "dist"} in [
        settings for kind, settings in steps(config, "build_windows") if kind == "store_artifacts"
    ]


def test_each_job_has_an_executor_that_exists(config: dict[str, Any]) -> None:
    chosen = {job["executor"] for job in config["jobs"].values()} - {"<< parameters.on >>"}
    assert chosen <= set(config["executors"])
