# What the make-*.rb scripts share; see answers.mjs.
require "json"

LONG = "ya29.0123456789-" * 4096 # files of answers write "<64 KiB>" for it

def pieces(s)
  s.length <= 4096 ? s : s.scan(/.{1,4096}/m)
end

def answers(name, made_by, cases)
  cases.each do |c|
    c[:plaintext] = c[:plaintext].gsub(LONG, "<64 KiB>")
    [:data, :data_hex].each { |f| c[f] = pieces(c[f]) if c[f] }
  end
  puts JSON.pretty_generate({name: name, made_by: made_by, cases: cases})
end
