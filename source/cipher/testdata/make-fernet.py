"""Known answers of Fernet, made by cryptography 48.0.0: python3 make-fernet.py > fernet.json"""
import base64
import hashlib

import cryptography
from answers import LONG, answers
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

new, old, older = (base64.urlsafe_b64encode(bytes(range(n, n + 32))).decode() for n in (200, 31, 99))


def django(text):  # fernet_fields/hkdf.py
    return base64.urlsafe_b64encode(HKDF(
        algorithm=SHA256(), length=32, salt=b"django-fernet-fields-hkdf-salt", info=b"django-fernet-fields",
    ).derive(text.encode()))


def sha256(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())


def case(name, rule, keys, key, plaintext, **more):
    token = (key if isinstance(key, MultiFernet) else Fernet(key)).encrypt(plaintext.encode())
    data = {"data_hex": token.hex()} if more.pop("bytea", False) else {"data": token.decode()}
    return {"name": name, "keys": {"options": rule, "keys": keys}, "plaintext": plaintext, **data}


secret = "django-insecure-Zq8!é二 x,y"
rotated = MultiFernet([Fernet(old)]).encrypt(b"1//0g-rotated-\xc3\xa9")
answers("fernet", f"PyPI cryptography {cryptography.__version__}, Fernet, MultiFernet and HKDF, by make-fernet.py", [
    case("direct", "direct", [new], new, "ya29.fernet-direct"),
    case("direct, empty", "direct", [new], new, ""),
    case("direct, unicode", "direct", [new], new, "1//0g-é✓-トークン"),
    case("direct, 64 KiB", "direct", [new], new, LONG),
    case("the newer of two", "direct", [new, old], MultiFernet([Fernet(new), Fernet(old)]), "ya29.newest"),
    case("the oldest of three", "direct", [new, old, older], MultiFernet([Fernet(older), Fernet(new)]), "ya29.oldest"),
    case("a list with commas", "direct", [new + ", " + old], old, "ya29.airflow"),
    {"name": "rotated by MultiFernet", "keys": {"options": "direct", "keys": [new, old]}, "plaintext": "1//0g-rotated-é",
     "data": MultiFernet([Fernet(new), Fernet(old)]).rotate(rotated).decode()},
    case("django-fernet-fields, bytea", "django", [secret], django(secret), "ya29.django", bytea=True),
    case("django-fernet-fields, older key", "django", ["another-secret-key", secret], django(secret), "ya29.django-old", bytea=True),
    case("SHA-256 of a secret", "sha256", [secret], sha256(secret), '{"access_token":"ya29.sha"}'),
    case("SHA-256, a secret of 44 characters", "sha256", [old], sha256(old), "ya29.sha-44"),
    case("Open WebUI, key of 44 characters", "open-webui", [old], old, '{"access_token":"ya29.webui"}'),
    case("Open WebUI, any other text", "open-webui", ["t0p-s3cr3t"], sha256("t0p-s3cr3t"), '{"access_token":"ya29.webui-é"}'),
    case("Open WebUI, older key", "open-webui", ["t0p-s3cr3t", old], old, "ya29.webui-old"),
])
