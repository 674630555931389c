#!/bin/sh
# Known answers of openssl enc: with the derivation of before -pbkdf2, which is
# CryptoJS' as well, and with -pbkdf2.
set -e
big=$(awk 'BEGIN { for (i = 0; i < 4096; i++) printf "ya29.0123456789-" }')
n=0
# add NAME DIGEST ALGORITHM LAYOUT PLAINTEXT TOLD OPTIONS [DERIVE [ITERATIONS]]
add() {
	[ $n = 0 ] || echo ','
	n=1
	data=$(printf %s "$5" | openssl enc "-$3" -md "$2" -pass 'pass:a secret — of words' $7 2>/dev/null | base64 | sed 's/.*/"&"/' | paste -sd, -)
	printf '  {"name": "%s", "keys": {"options": {"Algorithm": "%s", "Derive": "openssl-%s", "Layout": "%s", "Iterations": %s}, "keys": ["a secret — of words"]}, "plaintext": "%s", "unauthenticated": true, "data": [%s]}' \
		"$1" "$3" "${8:-$2}" "$4" "${9:-0}" "$6" "$data"
}
printf '{"name": "openssl", "made_by": "%s, by make-openssl.sh", "cases": [\n' "$(openssl version | cut -d' ' -f1-2)"
add 'md5' md5 aes-256-cbc salted 'ya29.openssl-é✓' 'ya29.openssl-é✓' -salt
add 'sha256' sha256 aes-256-cbc salted 'ya29.openssl' 'ya29.openssl' -salt
add 'sha256, 128 bits' sha256 aes-128-cbc salted 'ya29.openssl' 'ya29.openssl' -salt
add 'md5, ctr' md5 aes-256-ctr salted 'ya29.openssl-of-more-than-a-block' 'ya29.openssl-of-more-than-a-block' -salt
add 'md5, no salt' md5 aes-256-cbc ct 'ya29.openssl' 'ya29.openssl' -nosalt
add 'pbkdf2' sha256 aes-256-cbc salted 'ya29.openssl-é✓' 'ya29.openssl-é✓' '-salt -pbkdf2' pbkdf2
add 'pbkdf2, 600 rounds' sha256 aes-128-cbc salted 'ya29.openssl' 'ya29.openssl' '-salt -pbkdf2 -iter 600' pbkdf2 600
add 'md5, 64 KiB' md5 aes-256-cbc salted "$big" '<64 KiB>' -salt
printf '\n]}\n'
