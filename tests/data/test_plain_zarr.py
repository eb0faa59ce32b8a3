"""The direct reader beside xarray's own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from zarr.storage import ZipStore

from data import datasets
from data.datasets import read_dataset, write_dataset
from data.errors import CorruptFile
from data.plain_zarr import plain_dataset


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def reference(path: Path) -> xr.Dataset:
    with ZipStore(path, mode="r") as store:
        return xr.open_zarr(store, consolidated=False, chunks=None).load()


@pytest.fixture
def dataset() -> xr.Dataset:
    rng = np.random.default_rng(3)
    curve = rng.standard_normal((7, 3))
    curve[2, 1] = np.nan
    return xr.Dataset(
        {
            "curve": (("epoch", "matrix"), curve, {"units": "nat", "long_name": "a curve"}),
            "single": (("epoch", "matrix"), curve.astype("float32")),
            "count": ("epoch", np.arange(7, dtype="int16")),
            "yes": ("matrix", np.array([True, False, True])),
            "one": ((), 2.5),
            "none": ((), np.nan),
            "zeros": ("epoch", np.zeros(7)),
            "empty": ("nothing", np.zeros(0)),
            "word": ("epoch", list("abcabca")),
        },
        coords={
            "epoch": np.arange(0, 70, 10),
            "matrix": ["W_E", "W_in", "W_U"],
            "checkpoint_hash": ("epoch", [f"{k:x}" for k in range(7)]),
        },
        attrs={"analyzer": "x", "version": 3, "stale": ""},
    )


def test_it_reads_what_xarray_reads(dataset, tmp_path):
    path = tmp_path / "one.zarr.zip"
    write_dataset(path, dataset)
    found, expected = plain_dataset(entries(path)), reference(path)
    xr.testing.assert_identical(found, expected)
    assert {name: found[name].dtype for name in found.variables} == {
        name: expected[name].dtype for name in expected.variables
    }
    xr.testing.assert_equal(read_dataset(path), dataset)


def test_arrays_of_many_chunks_the_last_of_which_stand_out(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "CHUNK_BYTES", 100)
    values = np.random.default_rng(4).standard_normal((23, 5))
    values[4:8] = np.nan  # a chunk of nothing but the fill value is not written
    path = tmp_path / "many.zarr.zip"
    write_dataset(path, xr.Dataset({"x": (("epoch", "k"), values)}))
    assert sum(name.startswith("x/c/") for name in entries(path)) > 8
    xr.testing.assert_identical(plain_dataset(entries(path)), reference(path))
    np.testing.assert_array_equal(read_dataset(path)["x"], values)


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "zstd"}]},
        {"data_type": "complex128"},
        {"attributes": {"scale_factor": 2.0}},
        {"attributes": {"units": "days since 2000-01-01"}},
    ],
)
def test_another_encoding_is_left_to_xarray(dataset, tmp_path, change):
    path = tmp_path / "one.zarr.zip"
    write_dataset(path, dataset)
    parts = entries(path)
    parts["curve/zarr.json"] = json.dumps({**json.loads(parts["curve/zarr.json"]), **change}).encode()
    assert plain_dataset(parts) is None


def test_a_file_of_another_writer_is_read(dataset, tmp_path):
    """xarray decodes what this reader does not: here packed numbers."""
    path = tmp_path / "packed.zarr.zip"
    store = tmp_path / "packed.zarr"
    packed = xr.Dataset({"x": ("epoch", [1.0, 2.0, 4.0])})
    encoding = {"x": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}}
    packed.to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding)
    with zipfile.ZipFile(path, "w") as archive:
        for part in store.rglob("*"):
            if part.is_file():
                archive.write(part, part.relative_to(store).as_posix())
    assert plain_dataset(entries(path)) is None
    assert read_dataset(path)["x"].values.tolist() == [1.0, 2.0, 4.0]


def test_damage_is_named(dataset, tmp_path):
    path = tmp_path / "one.zarr.zip"
    write_dataset(path, dataset)
    parts = entries(path)
    for change in (
        {"curve/c/0/0": parts["curve/c/0/0"][:-9]},
        {"curve/zarr.json": b"{"},
        {"zarr.json": b"{}"},
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**parts, **change}.items():
                archive.writestr(name, content)
        with pytest.raises(CorruptFile, match=r"one\.zarr\.zip is damaged"):
            read_dataset(path)


def test_descriptions_are_deflated_and_numbers_are_not(dataset, tmp_path):
    path = tmp_path / "one.zarr.zip"
    write_dataset(path, dataset)
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            deflated = part.compress_type == zipfile.ZIP_DEFLATED
            assert deflated == part.filename.endswith("zarr.json"), part.filename
