"""Known answers of SQLAlchemy-Utils, made by Debian's python3-sqlalchemy-utils of
bookworm (0.38.2) and trixie (0.41.0) with python3-cryptography 38.0.4:

	/usr/bin/python3 make-sqlalchemy.py > sqlalchemy-VERSION.json
"""
import sqlalchemy_utils
from answers import LONG, answers
from sqlalchemy import Unicode
from sqlalchemy_utils import StringEncryptedType
from sqlalchemy_utils.types.encrypted.encrypted_type import AesEngine, AesGcmEngine, FernetEngine

ENGINES = {"aes": AesEngine, "aes-gcm": AesGcmEngine, "fernet": FernetEngine}
key, old = "superset-secret-key-0123456789", "schlüssel 二"


def case(name, plaintext, engine="aes", padding=None, keys=(key,), bytea=False):
    column = StringEncryptedType(Unicode, keys[-1], ENGINES[engine], padding)
    data = column.process_bind_param(plaintext, None)
    assert column.process_result_value(data, None) == plaintext
    options = {"Engine": engine, "Padding": padding or ""}
    return {"name": name, "keys": {"options": options, "keys": list(keys)}, "plaintext": plaintext,
            **({"data_hex": data.encode().hex()} if bytea else {"data": data}),
            **({"unauthenticated": True} if engine == "aes" else {})}


cases = [
    case("AesEngine, bytea", "ya29.superset", bytea=True),
    case("AesEngine, unicode", "1//0g-é✓-トークン"),
    case("AesEngine, a whole block", "ya29.0123456789-"),
    case("AesEngine, older secret", "ya29.superset-old", keys=(key, old)),
    case("AesGcmEngine", "ya29.gcm", "aes-gcm"),
    case("AesGcmEngine, unicode", "1//0g-é✓-トークン", "aes-gcm", keys=(old,)),
    case("AesGcmEngine, older secret", "ya29.gcm-old", "aes-gcm", keys=(key, old)),
    case("FernetEngine", "ya29.fernet-é", "fernet"),
    case("FernetEngine, older secret", "ya29.fernet-old", "fernet", keys=(key, old)),
]
if sqlalchemy_utils.__version__ >= "0.41":
    cases.append(case("64 KiB", LONG, "aes-gcm"))
for padding in ("naive", "pkcs5", "oneandzeroes", "zeroes"):
    cases += [case(f"AesEngine, {padding}, {n} bytes", ("ya29.padded-é" * 9)[:n], padding=padding) for n in (14, 16, 31, 32, 60)]
answers("sqlalchemy", f"Debian python3-sqlalchemy-utils {sqlalchemy_utils.__version__}, by make-sqlalchemy.py", cases)
