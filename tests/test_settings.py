from __future__ import annotations

from pathlib import Path

import pytest

from core.api.access import allowed_hosts, has_token
from core.collection.store import picture_id
from core.errors import SettingsError
from core.settings import Settings, load_settings
from core.signed_urls import is_signed, thumbnail_path

README = Path(__file__).resolve().parents[1] / "README.md"
PICTURE = picture_id(bytes(range(32)))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_environment_wins_over_dotenv_over_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text('port = 1111\nclip_model = "a/b"\ncontact = "me"\n')
    (tmp_path / ".env").write_text("PORT=2222\nCLIP_MODEL=c/d\n")
    monkeypatch.setenv("PORT", "3333")
    settings = load_settings()
    assert (settings.port, settings.clip_model, settings.contact) == (3333, "c/d", "me")


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "")
    assert load_settings().postgres_url is None


def test_a_wrong_setting_is_named_and_its_value_kept_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "mysql://me:hunter2@there")
    monkeypatch.setenv("PORT", "99999")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "POSTGRES_URL" in str(caught.value)
    assert "PORT" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_do_not_show_in_a_repr() -> None:
    settings = load_settings(postgres_url="postgresql://me:hunter2@there/db", api_token="t0ken")
    assert "hunter2" not in repr(settings)
    assert "t0ken" not in repr(settings)


def test_the_token_is_asked_for_only_when_set() -> None:
    assert has_token(load_settings(), None)
    guarded = load_settings(api_token="t0ken")
    assert has_token(guarded, "Bearer t0ken")
    assert not has_token(guarded, "Bearer other")
    assert not has_token(guarded, None)


def test_a_signature_fits_one_picture_and_one_token() -> None:
    guarded = load_settings(api_token="t0ken")
    signature = thumbnail_path(guarded, PICTURE).partition("signature=")[2]
    assert is_signed(guarded, PICTURE, signature)
    assert not is_signed(guarded, picture_id(bytes(32)), signature)
    assert not is_signed(load_settings(api_token="new"), PICTURE, signature)
    assert not is_signed(guarded, PICTURE, None)


def test_loopback_answers_to_loopback_names_only() -> None:
    assert "evil.example" not in allowed_hosts(load_settings())
    assert "localhost" in allowed_hosts(load_settings())
    assert allowed_hosts(load_settings(host="0.0.0.0")) == allowed_hosts(load_settings())
    assert allowed_hosts(load_settings(allowed_hosts="a.example, b.example")) == ["a.example", "b.example"]


def test_the_readme_has_a_row_for_each_setting() -> None:
    readme = README.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert f"| `{name.upper()}` |" in readme
        assert field.description is not None
        assert field.description in readme
