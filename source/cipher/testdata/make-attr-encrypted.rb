# Known answers of attr_encrypted, made by Debian's ruby-attr-encrypted of trixie
# (4.1) and bookworm (3.1) with ruby-encryptor 3.0, Ruby 3.1:
#
#	ruby make-attr-encrypted.rb > attr-encrypted-VERSION.json
require_relative "answers"
require "securerandom"
require "attr_encrypted"

@cases = []
def add(name, key, plaintext, **options)
  other = options.delete(:keys)
  model = Class.new { extend AttrEncrypted; attr_encrypted :token, encode: true, key: key, **options }
  record, again = model.new, model.new
  record.token = plaintext
  data = record.encrypted_token
  with = {iv: record.encrypted_token_iv, salt: record.encrypted_token_salt}.compact
  again.encrypted_token, again.encrypted_token_iv, again.encrypted_token_salt = data, with[:iv], with[:salt]
  raise "#{name} does not read back" unless again.token == plaintext
  @cases << {
    name: name,
    keys: {options: {mode: options[:mode], algorithm: options[:algorithm]}.compact, keys: other || [key]}, plaintext: plaintext,
    **(options[:encode] == false ? {data_hex: data.unpack1("H*")} : {data: data}),
    **(with.empty? ? {} : {with: with}), **(options[:algorithm]&.end_with?("cbc") ? {unauthenticated: true} : {}),
  }
end

key, old = "attr-key-1-0123456789-abcdefghij", "attr-key-0-9876543210-jihgfedcba"
salted, single = {mode: :per_attribute_iv_and_salt}, {mode: :single_iv_and_salt, insecure_mode: true}
cbc = {algorithm: "aes-256-cbc"}
add("per_attribute_iv", key, "ya29.attr-encrypted")
add("unicode, several lines of base64", key, "1//0g-é✓-トークン-" + "x" * 100)
add("64 KiB", key, LONG) if AttrEncrypted::Version::MAJOR >= 4
add("bytea", key, "ya29.attr-bytea", encode: false)
add("an older key", old, "ya29.attr-old", keys: [key, old])
add("aes-128-gcm", key[0, 16], "ya29.attr-128", algorithm: "aes-128-gcm")
add("v2_gcm_iv", key, "ya29.attr-v2", v2_gcm_iv: true)
add("marshal", key, "ya29.attr-marshal", marshal: true)
add("marshal, 300 bytes", key, "ya29.é" + "m" * 300, marshal: true)
add("per_attribute_iv, CBC", key, "ya29.attr-cbc", **cbc)
add("per_attribute_iv_and_salt", key, "ya29.attr-salted", **salted)
add("per_attribute_iv_and_salt, a long key", key + old, "ya29.attr-salted-long", **salted)
add("per_attribute_iv_and_salt, an older key", old, "ya29.attr-salted-old", keys: [key, old], **salted)
add("per_attribute_iv_and_salt, CBC", key, "ya29.attr-salted-cbc", **salted, **cbc)
add("single_iv_and_salt, CBC", "a secret key", "ya29.attr-single", **single, **cbc)
add("single_iv_and_salt, CBC, marshal", "a secret key", "ya29.attr-single-marshal", marshal: true, **single, **cbc)
add("single_iv_and_salt, GCM", "a secret key", "ya29.attr-single-gcm", **single)

answers("attr-encrypted", "Debian ruby-attr-encrypted #{AttrEncrypted::Version.string}, ruby-encryptor 3.0.0, Ruby #{RUBY_VERSION}, by make-attr-encrypted.rb", @cases)
