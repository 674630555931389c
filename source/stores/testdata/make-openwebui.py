"""Sessions as Open WebUI encrypts them (backend/open_webui/models/oauth_sessions.py):

    pip install cryptography==48.0.0 && python3 make-openwebui.py > openwebui.json
"""
import base64, hashlib, json
from cryptography.fernet import Fernet


def fernet(text):
    key = text.encode() if len(text) == 44 else base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return Fernet(key)


FORMER, KEY, DIRECT = 'an older s3cret', 't0p-s3cr3t ü', 'HyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4='


def seal(key, **token):
    return fernet(key).encrypt(json.dumps(token).encode()).decode()


print(json.dumps({
    'full': seal(KEY, access_token='ya29.ä✓', refresh_token='1//r', id_token='eyJ', token_type='Bearer', scope='openid email', expires_in=3599,
                 expires_at=1893456000, userinfo={'sub': '1084', 'email': 'a@example.com'}),
    'former key': seal(FORMER, access_token='eyJ.former', token_type='Bearer', expires_at=1893456000.75, refresh_token=None),
    'no expiry': seal(KEY, access_token='mcp-token', refresh_token='', scope=None),
    'no token': seal(KEY, id_token='eyJ'),
    'not an object': fernet(KEY).encrypt(b'["access_token"]').decode(),
    'long': seal(KEY, access_token='ya29.0123456789-' * 256, expires_at=0),
    'direct': seal(DIRECT, access_token='ya29.direct', expires_at=1893456000),
}, indent=1))
