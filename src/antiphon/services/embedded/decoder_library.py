"""PocketSphinx's C library through ctypes, which releases the interpreter lock while it decodes.

The `pocketsphinx` wheel is one extension module that exports the whole C API, but its Python
binding holds the lock in every call: four calls decoding at once stalled the event loop for 124 ms
(3 to 10 ms this way). Prototypes: `pocketsphinx.h` of PocketSphinx 5.1.
"""

import ctypes
from functools import cache
from types import ModuleType

from antiphon.errors import Unavailable

_POINTER, _TEXT, _INT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_INT_OUT = ctypes.POINTER(ctypes.c_int)

_PROTOTYPES: dict[str, tuple[object, tuple[object, ...]]] = {
    "err_set_loglevel_str": (_TEXT, (_TEXT,)),
    "ps_config_init": (_POINTER, (_POINTER,)),
    "ps_config_free": (_INT, (_POINTER,)),
    "ps_config_set_str": (_POINTER, (_POINTER, _TEXT, _TEXT)),
    "ps_config_set_int": (_POINTER, (_POINTER, _TEXT, ctypes.c_long)),
    "ps_config_set_float": (_POINTER, (_POINTER, _TEXT, ctypes.c_double)),
    "ps_config_set_bool": (_POINTER, (_POINTER, _TEXT, _INT)),
    "ps_init": (_POINTER, (_POINTER,)),
    "ps_free": (_INT, (_POINTER,)),
    "ps_start_stream": (_INT, (_POINTER,)),
    "ps_start_utt": (_INT, (_POINTER,)),
    "ps_process_raw": (_INT, (_POINTER, _TEXT, ctypes.c_size_t, _INT, _INT)),
    "ps_end_utt": (_INT, (_POINTER,)),
    "ps_get_hyp": (_TEXT, (_POINTER, _INT_OUT)),
    "ps_get_n_frames": (_INT, (_POINTER,)),
    "ps_get_cmn": (_TEXT, (_POINTER, _INT)),
    "ps_set_cmn": (_INT, (_POINTER, _TEXT)),
    "ps_seg_iter": (_POINTER, (_POINTER,)),
    "ps_seg_next": (_POINTER, (_POINTER,)),
    "ps_seg_free": (None, (_POINTER,)),
    "ps_seg_word": (_TEXT, (_POINTER,)),
    "ps_seg_frames": (None, (_POINTER, _INT_OUT, _INT_OUT)),
    "ps_seg_prob": (_INT, (_POINTER, _INT_OUT, _INT_OUT, _INT_OUT)),
}


@cache
def pocketsphinx_library() -> ctypes.CDLL:
    """The library with its prototypes declared, silenced (its messages go to standard error).

    Raises:
        Unavailable: This build of the wheel does not export the C API; use the binding.
    """
    module = _extension_module()
    try:
        library = ctypes.CDLL(str(module.__file__))
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as exc:
        raise Unavailable(f"PocketSphinx's C API cannot be reached through ctypes: {exc}") from exc
    library.err_set_loglevel_str(b"FATAL")
    return library


def _extension_module() -> ModuleType:
    import pocketsphinx._pocketsphinx as module

    return module  # type: ignore[no-any-return]
