# Known answers of Lockbox, made by Debian's ruby-lockbox of trixie (1.3) with
# ruby-rbnacl 7.1, Ruby 3.1:
#
#	ruby make-lockbox.rb > lockbox.json
require_relative "answers"
require "lockbox"
require "rbnacl"

def hex(seed)
  Digest::SHA256.hexdigest(seed)
end

@cases = []
# keys: the versions, newest first, as options of has_encrypted; by: which of them encrypts.
def add(name, versions, plaintext, by: 0, **more)
  options = versions[by].dup
  key = options[:key] || (options[:master_key] &&
    Lockbox.attribute_key(table: options[:table], attribute: options[:attribute], master_key: options[:master_key]))
  box =
    if options[:algorithm] == "hybrid"
      Lockbox.new(algorithm: "hybrid", encryption_key: options[:encryption_key], encode: !more[:binary], padding: more[:padding] || false)
    else
      Lockbox.new(key: key, algorithm: options[:algorithm], encode: !more[:binary], padding: more[:padding] || false, associated_data: options[:associated_data] || more.dig(:with, "associated_data"))
    end
  data = box.encrypt(plaintext.b)
  keys = versions.map { |v| v.except(:encryption_key) }
  @cases << {name: name, keys: keys, plaintext: plaintext, **(more[:binary] ? {data_hex: data.unpack1("H*")} : {data: data}), **more.slice(:with)}
end

v = {master_key: hex("master"), table: "accounts", attribute: "access_token_ciphertext"}
old = {master_key: hex("old master"), table: "identities", attribute: "encrypted_token"}
direct = {key: hex("direct")}
pair = Lockbox.generate_key_pair
add("derived", [v], "ya29.lockbox-derived")
add("derived, unicode", [v], "1//0g-é✓-トークン")
add("derived, bytea", [v], "ya29.lockbox-bytea", binary: true)
add("64 KiB", [v], LONG)
add("a key of its own", [direct], "ya29.lockbox-direct")
add("padded", [v], "ya29.lockbox-padded", padding: true)
add("padded to 32, unicode at the end", [v], "ya29.padded-é", padding: 32)
add("padded, sixteen bytes", [v], "0123456789abcdeÀ"[0, 15] + "!", padding: true)
add("previous version: another master key, table and column", [v, direct, old], "ya29.previous", by: 2)
add("previous version: another algorithm", [v, direct.merge(algorithm: "xchacha20")], "ya29.previous-x", by: 1)
add("xchacha20", [v.merge(algorithm: "xchacha20")], "ya29.xchacha20")
add("xchacha20, padded, bytea", [v.merge(algorithm: "xchacha20")], "ya29.xchacha20-padded", padding: true, binary: true)
add("xsalsa20", [v.merge(algorithm: "xsalsa20")], "ya29.xsalsa20")
add("hybrid", [{key: pair[:decryption_key], encryption_key: pair[:encryption_key], algorithm: "hybrid"}], "ya29.hybrid")
add("associated data", [v.merge(associated_data: "some-context")], "ya29.associated")
add("associated data of the row", [v], "ya29.associated-row", with: {"associated_data" => "user-4711"})
add("associated data, xchacha20", [v.merge(algorithm: "xchacha20", associated_data: "some-context")], "ya29.associated-x")

answers("lockbox", "Debian ruby-lockbox #{Lockbox::VERSION} (trixie), ruby-rbnacl #{RbNaCl::VERSION}, Ruby #{RUBY_VERSION}, by make-lockbox.rb", @cases)
