<?php
// Known answers of Laravel's Encrypter, made by the Debian package
// php-illuminate-encryption: 8.83 of its bookworm, 10.48 of its trixie.
//
//	php make-laravel.php FOLDER-OF-Illuminate VERSION > laravel-VERSION.json
//
// PHP 8.2.
foreach (['Contracts/Encryption/DecryptException', 'Contracts/Encryption/EncryptException', 'Contracts/Encryption/Encrypter', 'Contracts/Encryption/StringEncrypter', 'Encryption/Encrypter'] as $class) {
    require "$argv[1]/$class.php";
}
use Illuminate\Encryption\Encrypter;

$long = str_repeat('ya29.0123456789-', 4096);
$key = fn ($seed, $n) => substr(hash('sha256', $seed, true), 0, $n);
$text = fn ($key) => 'base64:'.base64_encode($key);
$cases = [];
$add = function ($name, $keys, $raw, $cipher, $plain, $serialized = false, $want = null) use (&$cases, $long) {
    $data = (new Encrypter($raw, $cipher))->encrypt($plain, $serialized);
    $cases[] = [
        'name' => $name, 'keys' => $keys, 'plaintext' => str_replace($long, '<64 KiB>', $want ?? $plain),
        'data' => strlen($data) > 4096 ? str_split($data, 4096) : $data,
    ];
};
$k32 = $key('one', 32); $old32 = $key('two', 32); $k16 = $key('three', 16);
$add('aes-256-cbc', [$text($k32)], $k32, 'aes-256-cbc', 'ya29.laravel-cbc');
$add('aes-256-gcm', [$text($k32)], $k32, 'aes-256-gcm', 'ya29.laravel-gcm');
$add('aes-128-cbc', [$text($k16)], $k16, 'aes-128-cbc', '1//0g-laravel-é✓');
$add('aes-128-gcm', [$text($k16)], $k16, 'aes-128-gcm', '1//0g-laravel-トークン');
$bare = 'thirty-two,bytes without base64!';
$add('a bare key with a comma', [$bare], $bare, 'aes-256-cbc', 'ya29.bare-key');
$add('a previous key, CBC', [$text($k32), $text($key('no', 32)).','.$text($old32)], $old32, 'aes-256-cbc', 'ya29.previous-cbc');
$add('a previous key, GCM', [$text($k32).', '.$text($old32)], $old32, 'aes-256-gcm', 'ya29.previous-gcm');
$add('empty, CBC', [$text($k32)], $k32, 'aes-256-cbc', '');
$add('64 KiB', [$text($k32)], $k32, 'aes-256-gcm', $long);
$add('serialized string, CBC', [$text($k32)], $k32, 'aes-256-cbc', 'ya29."quoted";é', true);
$add('serialized string, GCM', [$text($k32)], $k32, 'aes-256-gcm', 'ya29.serialized-✓', true);
$add('serialized null', [$text($k32)], $k32, 'aes-256-cbc', null, true, '');
$add('serialized array', [$text($k32)], $k32, 'aes-256-cbc', ['access_token' => 'ya29.in-array', 'expires_in' => 3599, 'ok' => true, 'scopes' => ['a', 'é'], 'x' => null, 'f' => 0.5], true,
    '{"access_token":"ya29.in-array","expires_in":3599,"ok":true,"scopes":["a","é"],"x":null,"f":0.5}');
$add('encrypted:array cast', [$text($k32)], $k32, 'aes-256-gcm', '{"access_token":"ya29.cast","refresh_token":"1//0g"}');
echo json_encode(['name' => 'laravel', 'made_by' => "Debian php-illuminate-encryption $argv[2], Illuminate\\Encryption\\Encrypter, PHP ".PHP_VERSION.', by make-laravel.php', 'cases' => $cases], JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES), "\n";
