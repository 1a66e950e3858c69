"""Resolving CLIP_MODEL to a model's files on this computer, and loading them with open_clip."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from core.embedding.hub_download import OnDownloadProgress, cached_revision, discard, fetch, newest_revision
from core.errors import EncoderError

if TYPE_CHECKING:
    import torch

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""The file names of open_clip's `push_to_hf_hub`; safetensors first, as open_clip prefers."""

BUILTIN = "built-in"
"""The value of CLIP_MODEL for the built-in encoder, which ships with Lookalike."""

BUILTIN_FOLDER = Path(__file__).parent / "builtin"
"""The folder of the built-in encoder."""

CHECKSUMS = "SHA256SUMS"
"""The file there with the checksum of its weights, as `sha256sum --check` reads it."""

SMALLEST_TEXT_TOWER = 1_000_000
"""Parameters below which a text transformer is only a placeholder: the smallest of open_clip's own configurations
(ViT-S-32-alt, 10 layers of width 256) has 7.9 million."""

Tokenizer = Callable[[Sequence[str]], "torch.Tensor"]


@dataclass(frozen=True)
class ClipModel:
    """A model whose files are all on this computer.

    `name` identifies its embeddings. `architecture` and `tag` are open_clip's names for it; `files` are its config and
    weights, which are in the hub's cache when `cached`.
    """

    name: str
    architecture: str
    tag: str | None
    files: tuple[Path, ...]
    cached: bool
    quick_gelu: bool = False

    def load(self, device: str, precision: str) -> torch.nn.Module:
        """The module, in evaluation mode.

        `precision` is open_clip's "fp32" or "bf16". Pickled weights are read as plain tensors, and no code in them is
        run. Raises EncoderError; damaged files of the hub are removed from the cache, so that a retry downloads them
        again.
        """
        import open_clip
        import torch
        from safetensors import SafetensorError

        try:
            module: torch.nn.Module = open_clip.create_model_from_pretrained(
                self.architecture,
                pretrained=self.tag,
                device=device,
                precision=precision,
                force_quick_gelu=self.quick_gelu,
                return_transform=False,
            )
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise EncoderError(f"There is not enough memory for {self.name}: choose a smaller CLIP_MODEL.") from error
        except (SafetensorError, UnpicklingError, EOFError) as error:
            raise self._damaged() from error
        except Exception as error:
            if "PytorchStreamReader" in str(error):
                raise self._damaged() from error
            raise EncoderError(
                f"{self.name} cannot be loaded, because its config and weights are not what open_clip expects "
                f"({first_line(error)}): choose another CLIP_MODEL."
            ) from error
        module.eval().requires_grad_(False)
        if sum(isinstance(part, torch.nn.Conv2d) for part in module.modules()) > 1:
            # Convolutional networks run faster this way; a transformer's one convolution only cuts the patches.
            module.to(memory_format=torch.channels_last)
        return module

    def load_tokenizer(self, module: torch.nn.Module) -> Tokenizer:
        """The tokenizer, from texts to tokens of shape (n, context). Raises EncoderError when `module` does not support
        text.

        A text tower with fewer than SMALLEST_TEXT_TOWER transformer parameters is only a placeholder beside an image
        encoder, and its embeddings of text are meaningless.
        """
        import open_clip

        tower: Any = getattr(module, "text", module)
        if sum(weight.numel() for weight in tower.transformer.parameters()) < SMALLEST_TEXT_TOWER:
            raise EncoderError(f"{self.name} does not support text: search with a picture.")
        try:
            tokenizer: Tokenizer = open_clip.get_tokenizer(self.architecture)
        except Exception as error:
            raise EncoderError(
                f"{self.name} cannot search by text, because its tokenizer cannot be loaded ({first_line(error)}): "
                "search with a picture."
            ) from error
        return tokenizer

    def _damaged(self) -> EncoderError:
        if not self.cached:
            return EncoderError(f"The weights in {self.files[-1].parent} are damaged: copy the model there again.")
        for path in self.files:
            discard(path)
        return EncoderError(f"The downloaded files of {self.name} are damaged: press Try again to download them again.")


def find_model(setting: str, on_progress: OnDownloadProgress) -> ClipModel:
    """The model for a value of CLIP_MODEL, downloaded if necessary.

    `on_progress` is called with the bytes of the weights during the download. Raises EncoderError, and whatever
    `on_progress` raises.
    """
    if setting == BUILTIN:
        return _built_in()
    kind, colon, rest = setting.partition(":")
    if kind == "local-dir" and colon:
        return _in_folder(Path(rest).expanduser())
    if kind == "hf-hub" and colon:
        return _on_hub(setting, rest, on_progress)
    return _by_tag(setting, on_progress)


def _in_folder(folder: Path) -> ClipModel:
    what = "CLIP_MODEL=local-dir:FOLDER needs the folder of an open_clip model"
    if not folder.is_dir():
        raise EncoderError(f"{what}, but there is no folder {folder}: correct the path.")
    config = folder / CONFIG
    if not config.is_file():
        raise EncoderError(f"{what}, but {folder} contains no {CONFIG}: copy the whole model there.")
    if not _is_config(config):
        raise EncoderError(f"{what}, but {config} is not an open_clip config: copy the whole model there.")
    weights = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pth"))
    if not weights:
        raise EncoderError(
            f"{what}, but {folder} contains no weights ({' or '.join(WEIGHTS)}): copy the whole model there."
        )
    digest = hashlib.sha256()
    for path in (config, *weights):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    name = f"local-dir:{folder.resolve().name}@{digest.hexdigest()[:12]}"
    return ClipModel(name, f"local-dir:{folder}", None, (config, *weights), cached=False)


def _built_in() -> ClipModel:
    """The built-in encoder, with its checksum verified. Raises EncoderError."""
    config, weights = BUILTIN_FOLDER / CONFIG, BUILTIN_FOLDER / WEIGHTS[0]
    try:
        promised = (BUILTIN_FOLDER / CHECKSUMS).read_text("ascii")
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, UnicodeDecodeError):
        promised, digest = "", ""
    if promised != checksum_line(digest, weights) or not config.is_file() or not _is_config(config):
        raise EncoderError(
            f"The built-in encoder is damaged, because the files in {BUILTIN_FOLDER} do not match {CHECKSUMS}: "
            "copy that folder from Lookalike's repository again, or set CLIP_MODEL."
        )
    return ClipModel(f"{BUILTIN}@{digest[:12]}", f"local-dir:{BUILTIN_FOLDER}", None, (config, weights), cached=False)


def checksum_line(digest: str, path: Path) -> str:
    """The line of CHECKSUMS for a file with that SHA-256 (64 hexadecimal digits)."""
    return f"{digest}  {path.name}\n"


def _on_hub(setting: str, repository: str, on_progress: OnDownloadProgress) -> ClipModel:
    folder = cached_revision(repository, [CONFIG], WEIGHTS) or newest_revision(repository, CONFIG)
    config = fetch(repository, folder, [CONFIG], lambda done, total: None)
    if not _is_config(config):
        discard(config)
        raise EncoderError(
            f"The {CONFIG} of {repository} on the model hub is not an open_clip config: choose another CLIP_MODEL."
        )
    weights = fetch(repository, folder, WEIGHTS, on_progress)
    return ClipModel(setting, f"local-dir:{folder}", None, (config, weights), cached=True)


def _by_tag(setting: str, on_progress: OnDownloadProgress) -> ClipModel:
    import open_clip

    name, _, tag = setting.rpartition("/")
    name = name.replace("/", "-")
    entry = open_clip.get_pretrained_cfg(name, tag)
    if not entry:
        known = ["/".join(pair) for pair in open_clip.list_pretrained()]
        near = difflib.get_close_matches(setting, known, n=3, cutoff=0.4)
        raise EncoderError(
            f"open_clip has no model “{setting}”: set CLIP_MODEL to NAME/TAG, such as {' or '.join(near or known[:3])}."
        )
    repository, _, file = entry["hf_hub"].rpartition("/")
    names = [str(Path(file).with_suffix(".safetensors")), file] if file else WEIGHTS
    folder = cached_revision(repository, names) or newest_revision(repository, CONFIG)
    weights = fetch(repository, folder, names, on_progress)
    # With "file" in its entry, open_clip loads the weights from there and keeps the tag's own preprocessing.
    entry["file"] = str(weights)
    return ClipModel(setting, name, tag, (weights,), cached=True, quick_gelu=bool(entry.get("quick_gelu")))


def _is_config(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and isinstance(content.get("model_cfg"), dict)


def first_line(error: Exception) -> str:
    """An error of a library on one line, without its full stop."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".: ")
