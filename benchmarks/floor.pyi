from array import array
from mmap import mmap

def touch(table: mmap, row_bytes: int, places: array[int]) -> None: ...
