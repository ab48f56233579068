"""User files travel as text and are imported once."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from oddjets.core.errors import OddjetsError
from oddjets.selection.processor_loader import find_processor

BASE = """
from oddjets.selection import DijetProcessor, cut
class Base(DijetProcessor):
    @cut
    def always(self, table):
        '''Everything.'''
        return table["pt_1"] > 0
"""
MINE = """
from base import Base
class Mine(Base):
    pass
"""


@pytest.fixture
def source(tmp_path):
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "mine.py").write_text(MINE)
    return find_processor("mine.py:Mine", tmp_path)


def test_files_beside_it_travel_too(source):
    from oddjets.selection.decorators import cuts_of

    assert "always" in cuts_of(source.load())
    assert "base" not in sys.modules


def test_it_is_imported_once(source):
    assert source.load() is source.load()


def test_a_thread_waits_for_another_that_is_importing_it(tmp_path):
    (tmp_path / "mine.py").write_text("import time\ntime.sleep(0.2)\n" + BASE)
    source = find_processor("mine.py:Base", tmp_path)
    with ThreadPoolExecutor(2) as threads:
        first, second = [thread.result() for thread in [threads.submit(source.load) for _ in range(2)]]
    assert first is second


def test_the_key_changes_with_the_text_of_any_of_them(source, tmp_path):
    (tmp_path / "base.py").write_text(BASE + "\n# a word\n")
    assert find_processor("mine.py:Mine", tmp_path).sha256 != source.sha256


@pytest.mark.slow
def test_a_process_without_the_files_can_load_it(source, tmp_path):
    (tmp_path / "source.pickle").write_bytes(pickle.dumps(source))
    for name in ("base.py", "mine.py"):
        (tmp_path / name).unlink()
    code = "import pickle; print(pickle.load(open('source.pickle', 'rb')).load().__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Mine"


@pytest.mark.slow
def test_the_packages_processors_can_be_imported_also_where_they_are_not(tmp_path):
    (tmp_path / "mine.py").write_text("from dijet_anomaly import DijetAnomaly\nclass Mine(DijetAnomaly):\n    pass\n")
    source = find_processor("mine.py:Mine", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "source.pickle").write_bytes(pickle.dumps(source))
    code = "import pickle; print(pickle.load(open('source.pickle', 'rb')).load().__mro__[1].__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "DijetAnomaly"
    # one of that name beside it goes first
    (tmp_path / "dijet_anomaly.py").write_text(BASE.replace("class Base", "class DijetAnomaly"))
    assert hasattr(find_processor("mine.py:Mine", tmp_path).load(), "always")


def test_an_exception_on_import_is_the_users(tmp_path):
    (tmp_path / "mine.py").write_text("1 / 0\n")
    with pytest.raises(OddjetsError, match=r"mine\.py can't be imported: ZeroDivisionError"):
        find_processor("mine.py:Mine", tmp_path).load()


def test_a_file_without_a_processor_says_what_it_lacks(tmp_path):
    (tmp_path / "mine.py").write_text("class Mine:\n    pass\n")
    with pytest.raises(OddjetsError, match=r"no DijetProcessor called 'Mine'; it has none, so write 'class NAME\("):
        find_processor("mine.py:Mine", tmp_path).load()


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"# -*- coding: latin-1 -*-\n# caf\xe9\n"])
def test_a_file_is_read_in_the_encoding_that_it_states(tmp_path, before):
    (tmp_path / "mine.py").write_bytes(before + BASE.encode())
    assert find_processor("mine.py:Base", tmp_path).load().__name__ == "Base"


@pytest.mark.parametrize("broken", ["mine.py", "base.py"])
def test_a_file_in_another_encoding_is_named(tmp_path, broken):
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / broken).write_bytes(b"# caf\xe9\n" + (tmp_path / broken).read_bytes())
    with pytest.raises(OddjetsError, match=f"^{broken}: is not UTF-8"):
        find_processor("mine.py:Mine", tmp_path)


def test_a_file_that_ends_the_program_is_an_error(tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nsys.exit(3)\n" + BASE)
    with pytest.raises(OddjetsError, match=r"mine.py can't be imported: SystemExit: 3"):
        find_processor("mine.py:Base", tmp_path).load()
