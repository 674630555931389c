"""What the make-*.py scripts share; see answers.mjs."""
import json

LONG = "ya29.0123456789-" * 4096  # files of answers write "<64 KiB>" for it


def pieces(s):
    return s if len(s) <= 4096 else [s[i:i + 4096] for i in range(0, len(s), 4096)]


def answers(name, made_by, cases):
    for c in cases:
        c["plaintext"] = c["plaintext"].replace(LONG, "<64 KiB>")
        for field in ("data", "data_hex"):
            if field in c:
                c[field] = pieces(c[field])
    print(json.dumps({"name": name, "made_by": made_by, "cases": cases}, ensure_ascii=False, indent=1))
