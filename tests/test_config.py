"""Settings: where they come from, in which order, and what a wrong one is answered with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from roost.config import KEYS, Assets, Backup, Settings, find_pyproject, load
from roost.errors import ConfigurationError
from roost.limits import DEFAULTS, Limits


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("")
    return tmp_path


def write(project: Path, toml: str) -> Path:
    path = project / "pyproject.toml"
    path.write_text(toml)
    return path


def read(project: Path, app: str | None = "app.py", environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    return load(app, flags=flags, environ=environ or {}, directory=project)


def error_of(project: Path, environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(project, environ=environ, **flags)
    return str(caught.value)


def test_without_any_setting_the_defaults_hold(project: Path) -> None:
    settings = read(project)
    assert settings == Settings(app=str(project / "app.py"), data=str(project / ".roost"))
    assert (settings.host, settings.port, settings.hosts, settings.gateways) == ("127.0.0.1", 8787, 1, 1)
    assert settings.limits == DEFAULTS
    assert settings.app_name == "app.py"


def test_flags_win_over_the_environment_and_that_over_pyproject(project: Path) -> None:
    write(project, "[tool.roost]\nport = 1\nhosts = 2\ngateways = 3\n")
    settings = read(project, environ={"ROOST_HOSTS": "4", "ROOST_GATEWAYS": "5"}, gateways=6)
    assert (settings.port, settings.hosts, settings.gateways) == (1, 4, 6)


def test_a_flag_that_was_not_given_changes_nothing(project: Path) -> None:
    write(project, "[tool.roost]\nport = 1\n")
    assert read(project, port=None).port == 1


def test_the_nearest_pyproject_with_the_table_is_read(project: Path) -> None:
    write(project, "[tool.roost]\nport = 1\n")
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "app.py").write_text("")
    (project / "a" / "pyproject.toml").write_text("[tool.other]\nport = 2\n")
    assert find_pyproject(inner / "app.py") == project / "pyproject.toml"
    settings = read(project, "a/b/app.py")
    assert settings.port == 1
    assert settings.pyproject == str(project / "pyproject.toml")


def test_paths_start_from_where_they_were_written(project: Path) -> None:
    write(project, '[tool.roost]\napp = "app.py"\ndata = "kept"\n[tool.roost.assets]\ndirectory = "static"\n')
    sub = project / "sub"
    sub.mkdir()
    settings = load(environ={}, directory=sub)
    assert settings.app == str(project / "app.py")
    assert settings.data == str(project / "kept")
    assert settings.assets == Assets(directory=str(project / "static"))
    assert load(environ={"ROOST_DATA": "here"}, directory=sub).data == str(sub / "here")
    assert load(flags={"data": "there"}, environ={"ROOST_DATA": "here"}, directory=sub).data == str(sub / "there")


def test_tables_are_merged_key_by_key(project: Path) -> None:
    write(project, "[tool.roost.limits]\nidle_seconds = 5\ntags_per_socket_max = 3\n[tool.roost.vars]\nA = 1\nB = 2\n")
    environ = {"ROOST_LIMITS_IDLE_SECONDS": "2.5", "ROOST_VARS_B": "two", "ROOST_VARS_c": "x"}
    settings = read(project, environ=environ)
    assert settings.limits == Limits(idle_seconds=2.5, tags_per_socket_max=3)
    assert settings.vars == {"A": 1, "B": "two", "c": "x"}


def test_every_key_can_come_from_pyproject(project: Path) -> None:
    write(
        project,
        """
        [tool.roost]
        app = "app.py"
        host = "::1"
        port = 0
        data = "d"
        hosts = 2
        gateways = 2
        trusted_proxies = ["10.0.0.0/8", "::1"]
        log_level = "debug"
        debug = true
        bindings = { ROOM = "WhiteboardRoom", OTHER = "rooms.other:Room" }
        vars = { TITLE = "Boards", LIST = [1, { a = true }] }
        limits = { idle_seconds = 1 }
        tls = { certfile = "c.pem", keyfile = "k.pem" }
        assets = { directory = "static", index = "i.html", not_found = "404.html" }
        """,
    )
    settings = read(project)
    assert settings.bindings == {"ROOM": "WhiteboardRoom", "OTHER": "rooms.other:Room"}
    assert settings.tls is not None
    assert settings.tls.certfile == str(project / "c.pem")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.assets == Assets(directory=str(project / "static"), index="i.html", not_found="404.html")
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings


def test_every_plain_key_can_come_from_the_environment(project: Path) -> None:
    environ = {
        "ROOST_APP": "app.py",
        "ROOST_PORT": "99",
        "ROOST_DEBUG": "true",
        "ROOST_TRUSTED_PROXIES": "10.0.0.1, 10.1.0.0/16",
        "ROOST_ASSETS_DIRECTORY": "s",
        "ROOST_ASSETS_NOT_FOUND": "404.html",
        "ROOST_LOG_LEVEL": "warning",
        "ROOST_BINDINGS_ROOM": "Room",
    }
    settings = load(environ=environ, directory=project)
    assert (settings.port, settings.debug, settings.log_level) == (99, True, "warning")
    assert settings.trusted_proxies == ("10.0.0.1", "10.1.0.0/16")
    assert settings.assets == Assets(directory=str(project / "s"), not_found="404.html")
    assert settings.bindings == {"ROOM": "Room"}


def test_an_unknown_key_is_named_with_its_file_and_the_nearest_key(project: Path) -> None:
    path = write(project, "[tool.roost]\nprot = 1\n")
    assert error_of(project) == f"{path}: `prot` is not a setting; did you mean `port`?"


def test_an_unknown_key_of_a_table_is_named_too(project: Path) -> None:
    path = write(project, "[tool.roost.limits]\nidle_second = 1\n")
    assert error_of(project) == f"{path}: `limits.idle_second` is not a setting; did you mean `limits.idle_seconds`?"


def test_an_unknown_key_like_none_lists_the_known_ones(project: Path) -> None:
    write(project, "[tool.roost]\nzzzzzz = 1\n")
    assert "known are app, data, host, port" in error_of(project)


def test_a_near_miss_in_the_environment_is_an_error_and_a_stranger_is_not(project: Path) -> None:
    assert error_of(project, {"ROOST_PROT": "1"}).endswith("ROOST_PROT is not a setting; did you mean ROOST_PORT?")
    assert "ROOST_LIMITS_IDLE_SECONDS?" in error_of(project, {"ROOST_LIMITS_IDLE_SECOND": "1"})
    strangers = {"ROOST_SERVICE_HOST": "10.0.0.1", "ROOST_SERVICE_PORT": "80", "ROOST_PORT_80_TCP_ADDR": "10.0.0.1"}
    assert read(project, environ=strangers).port == 8787


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('port = "x"', "`port` must be a whole number from 0 to 65535, got 'x'"),
        ("port = 65536", "`port` must be a whole number from 0 to 65535, got 65536"),
        ("port = true", "`port` must be a whole number from 0 to 65535, got True"),
        ("hosts = 0", "`hosts` must be a whole number from 1 to 256, got 0"),
        ("gateways = 1.5", "`gateways` must be a whole number from 1 to 256, got 1.5"),
        ('host = ""', "`host` must be a host name or IP address, got ''"),
        ("data = 3", "`data` must be a text that is not empty, got 3"),
        ('log_level = "loud"', "`log_level` must be one of debug, info, warning, error, got 'loud'"),
        ('debug = "yes"', "`debug` must be true or false, got 'yes'"),
        ('trusted_proxies = ["nobody"]', "`trusted_proxies` must be a list of IP addresses or networks"),
        ("limits = 3", "`limits` must be a table, got 3"),
        ("limits = { idle_seconds = -1 }", "`limits.idle_seconds` must be a number, 0 or more, got -1"),
        ("limits = { idle_seconds = nan }", "`limits.idle_seconds` must be a number, 0 or more, got nan"),
        ("limits = { tag_bytes_max = 1.5 }", "`limits.tag_bytes_max` must be a whole number, 0 or more, got 1.5"),
        ("assets = { index = 'a' }", "`assets.directory` is missing; `[tool.roost.assets]` needs it"),
        ("tls = { certfile = 'a' }", "`tls.keyfile` is missing; `[tool.roost.tls]` needs it"),
        ("bindings = { ROOM = 3 }", "`bindings.ROOM` must be the name of a class, or `module:Class`, got 3"),
        ('bindings = { "a-b" = "Room" }', "`bindings.a-b` must be a Python name, since it is read as env.a-b"),
        ("vars = { D = 1979-05-27 }", "`vars.D` must be made of text, finite numbers"),
        ("vars = { F = inf }", "`vars.F` must be made of text, finite numbers"),
    ],
)
def test_a_wrong_value_is_answered_with_what_came_and_what_was_expected(project: Path, toml: str, message: str) -> None:
    path = write(project, f"[tool.roost]\n{toml}\n")
    error = error_of(project)
    assert message in error
    assert error.startswith(f"{path}: ") or "is missing" in error


def test_a_wrong_value_in_the_environment_or_a_flag_names_that(project: Path) -> None:
    assert error_of(project, {"ROOST_PORT": "tcp://10.0.0.1:80"}).startswith("the environment: `port` must be a whole")
    assert error_of(project, port=-1).startswith("the command line: `port` must be a whole number")


def test_a_file_that_is_no_toml_is_named(project: Path) -> None:
    path = write(project, "[tool.roost\n")
    assert error_of(project).startswith(f"{path} is not valid TOML: ")
    path.write_bytes(b"\xff")
    assert error_of(project).startswith(f"{path} is not valid TOML: ")
    path.write_text("[tool]\nroost = 3\n")
    assert error_of(project) == f"{path}: `tool.roost` must be a table, got 3"


def test_without_a_name_the_app_is_app_py_of_the_working_directory(project: Path) -> None:
    assert load(environ={}, directory=project).app == str(project / "app.py")


def test_an_app_may_be_main_py_or_a_package(project: Path) -> None:
    (project / "app.py").rename(project / "main.py")
    assert load(environ={}, directory=project).app == str(project / "main.py")
    (project / "app").mkdir()
    (project / "app" / "__init__.py").write_text("")
    settings = load(environ={}, directory=project)
    assert settings.app == str(project / "app" / "__init__.py")
    assert settings.app_directory == project
    assert settings.data == str(project / ".roost")


def test_an_app_may_name_its_entrypoint(project: Path) -> None:
    settings = read(project, "app.py:front")
    assert settings.app == str(project / "app.py:front")
    assert settings.app_name == "app.py:front"
    assert settings.app_directory == project


def test_a_named_directory_stands_for_the_app_in_it(project: Path) -> None:
    write(project, '[tool.roost]\napp = "other.py"\n')
    inner = project / "inner"
    inner.mkdir()
    (inner / "app.py").write_text("")
    assert load("inner", environ={"ROOST_APP": "app.py"}, directory=project).app == str(inner / "app.py")
    (inner / "pyproject.toml").write_text('[tool.roost]\napp = "main.py"\n')
    (inner / "main.py").write_text("")
    assert load("inner", environ={}, directory=project).app == str(inner / "main.py")


def test_no_app_and_an_app_that_is_not_there_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no app: .* has none of app.py, app/__init__.py, main.py"):
        load(environ={}, directory=tmp_path)
    with pytest.raises(ConfigurationError, match=r"the app .*/gone\.py does not exist"):
        load("gone.py", environ={}, directory=tmp_path)


def test_the_page_on_configuration_has_every_key() -> None:
    page = (Path(__file__).parent.parent / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(KEYS)
    assert set(re.findall(r"^\| `backup\.(\w+)` \|", page, re.MULTILINE)) == set(Backup.__struct_fields__)


def test_a_backup_goes_to_a_directory_beside_the_file_that_names_it(project: Path) -> None:
    write(project, '[tool.roost.backup]\ntarget = "copies"\nevery = 2\n')
    assert load(project / "app.py", environ={}).backup == Backup(target=str(project / "copies"), every=2)


def test_a_backup_goes_to_a_bucket(project: Path) -> None:
    write(project, '[tool.roost.backup]\ntarget = "s3://bucket/prefix"\nendpoint = "http://127.0.0.1:9000"\n')
    environ = {"ROOST_BACKUP_KEEP": "3", "ROOST_BACKUP_REGION": "eu-1"}
    expected = Backup(target="s3://bucket/prefix", endpoint="http://127.0.0.1:9000", keep=3, region="eu-1")
    assert load(project / "app.py", environ=environ).backup == expected


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("every = 1", "`backup.target` is missing"),
        ('target = ""', "`backup.target` must be a directory, or s3://bucket/prefix"),
        ('target = "gs://bucket"', "`backup.target` must be a directory, or s3://bucket/prefix"),
        ('target = "x"\nevery = 0', "`backup.every` must be a number of seconds above 0"),
        ('target = "x"\nfull_every = "daily"', "`backup.full_every` must be a number of seconds"),
        ('target = "x"\nkeep = 0', "`backup.keep` must be a whole number, 1 or more"),
        ('target = "x"\nprefix = "y"', "`backup.prefix` is not a setting"),
    ],
)
def test_a_backup_that_cannot_be_is_refused(project: Path, toml: str, words: str) -> None:
    write(project, f"[tool.roost.backup]\n{toml}\n")
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        load(project / "app.py", environ={})
