# Known answers of Active Record Encryption, made by Debian's ruby-activerecord of
# trixie (7.2), with Ruby 3.1:
#
#	ruby make-rails.rb > rails.json
require_relative "answers"
require "logger"
require "active_support"
require "active_support/core_ext"
require "active_record"

include ActiveRecord::Encryption
A = ActiveRecord::Encryption
LOREM = "eyJhbGciOiJSUzI1NiJ9." + "QUJDREVGR0hJSktMTU5PUA" * 20 + ".sig-é✓" # over 140 bytes
KEYS = {primary: ["primary-Jf83kd02Lq"], deterministic: ["deterministic-Pw91m"], salt: ["salt-Xz55Tr0c"]}
DIGESTS = {sha1: OpenSSL::Digest::SHA1, sha256: OpenSSL::Digest::SHA256}

def configure(keys, digest, **more)
  A.configure(primary_key: keys[:primary], deterministic_key: keys[:deterministic]&.first, key_derivation_salt: keys[:salt].first,
    hash_digest_class: DIGESTS.fetch(digest), store_key_references: false, **more)
  A.reset_default_context
end

# made encrypts as `encrypts :token, **options` does, and reads back with Rails.
def made(plaintext, **options)
  scheme = Scheme.new(**options)
  type = EncryptedAttributeType.new(scheme: scheme)
  data = type.serialize(plaintext)
  raise "does not read back" unless type.deserialize(data) == plaintext
  data
end

@cases = []
def add(name, keys, data, plaintext, **more)
  @cases << {name: name, keys: keys, plaintext: plaintext, data: data, **more}
end

DIGESTS.each_key do |digest|
  configure(KEYS, digest)
  add("non-deterministic, #{digest}", KEYS, made("ya29.rails-#{digest}"), "ya29.rails-#{digest}")
  add("deterministic, #{digest}", KEYS, made("1//0g-dét-#{digest}", deterministic: true), "1//0g-dét-#{digest}")
  add("compressed, #{digest}", KEYS, made(LOREM), LOREM)
  add("compressed deterministic, #{digest}", KEYS, made(LOREM, deterministic: true), LOREM)
end
configure(KEYS, :sha256)
add("140 bytes are not compressed", KEYS, made("x" * 140), "x" * 140)
add("141 bytes are", KEYS, made("x" * 141), "x" * 141)
add("64 KiB", KEYS, made(LONG), LONG)
add("long, not compressed", KEYS, made(LONG[0, 2000], encryptor: Encryptor.new(compress: false)), LONG[0, 2000])
add("empty", KEYS, made(""), "")
add("binary encoding", KEYS, Encryptor.new.encrypt("ya29.binary".b), "ya29.binary")
add("a key of the attribute's own", KEYS.merge(primary: ["own-key-of-the-attribute"]), made("ya29.own-key", key: "own-key-of-the-attribute"), "ya29.own-key")

raw = (1..32).map { |n| (n * 7) % 256 }.pack("C*")
add("a raw key of a key provider", {raw: [raw.unpack1("H*")]}, made("ya29.raw", key_provider: KeyProvider.new([Key.new(raw)])), "ya29.raw")

rotated = KEYS.merge(primary: ["oldest-3kD0s", "middle-9fLq2", "newest-Zc71e"])
configure(rotated, :sha256)
add("a list, the last encrypts", rotated, made("ya29.last-of-list"), "ya29.last-of-list")
configure(KEYS.merge(primary: ["oldest-3kD0s"]), :sha1)
add("a list, its first, by SHA-1", rotated, made("ya29.first-of-list"), "ya29.first-of-list")

configure(rotated, :sha256, store_key_references: true)
add("a key reference", rotated, made("ya29.referenced"), "ya29.referenced", names_key: true)
add("a key reference, compressed", rotated, made(LOREM), LOREM, names_key: true)
add("envelope with a reference", rotated, made("ya29.envelope-ref", key_provider: EnvelopeEncryptionKeyProvider.new), "ya29.envelope-ref", names_key: true)
configure(KEYS, :sha1, store_key_references: true)
add("a key reference, SHA-1", KEYS, made("ya29.referenced-1"), "ya29.referenced-1", names_key: true)

[:sha1, :sha256].each do |digest|
  configure(KEYS, digest)
  add("envelope, #{digest}", KEYS, made("ya29.envelope-#{digest}", key_provider: EnvelopeEncryptionKeyProvider.new), "ya29.envelope-#{digest}")
  add("envelope, compressed, #{digest}", KEYS, made(LOREM, key_provider: EnvelopeEncryptionKeyProvider.new), LOREM)
end

old = {primary: ["scheme-before-7Gq"], deterministic: ["det-before-1Ms"], salt: ["salt-before-0Ak"]}
both = KEYS.merge(previous: old[:primary] + old[:deterministic], salt: KEYS[:salt] + old[:salt])
configure(old, :sha1)
add("a previous scheme with a salt of its own", both, made("ya29.previous"), "ya29.previous")
add("a previous deterministic scheme", both, made("ya29.previous-det", deterministic: true), "ya29.previous-det")

answers("rails", "Debian ruby-activerecord #{ActiveRecord.version} (trixie), ActiveRecord::Encryption, Ruby #{RUBY_VERSION}, by make-rails.rb", @cases)
