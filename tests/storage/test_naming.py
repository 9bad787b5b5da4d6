"""Archives of arrays: what is read is what was written, as numpy reads it."""

import io
import zipfile

import numpy as np
import pytest

from pipeline.storage import pack_arrays, unpack_arrays

ARRAYS = {
    "quantiles": np.arange(24, dtype="float32").reshape(2, 3, 4),
    "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "sessions": np.array(["2013-03-01", "NaT"], dtype="datetime64[D]"),
    "names": np.array(["AAA", "é"]),
    "flags": np.array([True, False]),
    "one": np.array(3.5),
    "none": np.zeros((0, 5)),
}


def test_arrays_are_read_as_numpy_reads_them():
    archive = pack_arrays({"ticker": "AAA"}, ARRAYS)
    about, arrays = unpack_arrays(archive)
    assert about == {"ticker": "AAA"} and list(arrays) == list(ARRAYS)
    with np.load(io.BytesIO(archive)) as expected:
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
            assert array.flags.f_contiguous == expected[name].flags.f_contiguous
            assert array.flags.writeable and array.flags.aligned


def test_arrays_that_are_read_do_not_share_memory():
    archive = pack_arrays({}, {"a": np.zeros(3), "b": np.zeros(3)})
    first, second = (unpack_arrays(archive)[1] for _ in range(2))
    first["a"][:] = 1
    assert first["b"].sum() == second["a"].sum() == 0


@pytest.mark.parametrize(
    "archive",
    [b"", b"no archive", pack_arrays({}, {"a": np.zeros(9)})[:-30]],
    ids=["nothing", "text", "cut"],
)
def test_what_is_no_archive_is_refused(archive):
    with pytest.raises(zipfile.BadZipFile):
        unpack_arrays(archive)


def test_an_archive_with_objects_is_refused():
    file = io.BytesIO()
    np.savez(file, about=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="OBJECT"):
        unpack_arrays(file.getvalue())
