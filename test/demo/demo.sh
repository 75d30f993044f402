#!/bin/bash
# The main job of an HSM from end to end, with real programs: keys that are made
# and used inside, a CA, a TLS server, a signature that anybody can verify; then an
# update of the firmware, a conversion, and what the kinds of partition do.
# `make demo` builds what it needs and runs it.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
tidelock=$root/bin/tidelock
module=$root/bin/libtidelock.so
so_pin=officer-pin-3141
pin=user-pin-2718

bold='' dim='' green='' red='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

for program in "$tidelock" "$tidelock-p11" "$module" pkcs11-tool openssl curl; do
    if [[ ! -e $program ]] && ! command -v "$program" >/dev/null; then
        echo "demo: $program is missing: run \"make build\" and \"make deps\" first" >&2
        exit 1
    fi
done

dir=$(mktemp -d)
export TIDELOCK_HOME=$dir/hsm
tls_server=''
step_number=0
step_name='preparing'

cleanup() {
    local status=$?
    trap - EXIT ERR
    set +e
    if [[ -n $tls_server ]]; then
        kill "$tls_server" 2>/dev/null
        wait "$tls_server" 2>/dev/null
    fi
    [[ -d $TIDELOCK_HOME ]] && "$tidelock" stop >/dev/null 2>&1
    rm -rf "$dir"
    if ((status != 0)); then
        printf '\n%sThe demo failed at step %d, "%s".%s\n' "$red$bold" "$step_number" "$step_name" "$plain" >&2
    fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# step TITLE EXPLANATION
step() {
    step_number=$((step_number + 1))
    step_name=$1
    printf '\n%s%d. %s%s\n%s%s%s\n' "$bold" "$step_number" "$1" "$plain" "$dim" "$2" "$plain"
}

# happened TEXT tells in green what the step has shown.
happened() { printf '   %s✓ %s%s\n' "$green" "$1" "$plain"; }

show() { sed 's/^/     /'; }

# echo_command COMMAND... prints it as one would type it in the repository.
echo_command() {
    local word line=''
    for word in "${@//"$root/"/}"; do
        if [[ $word =~ [^A-Za-z0-9_./:=,@%+-] ]]; then
            word="'$word'"
        fi
        line+=" $word"
    done
    printf '   $%s\n' "$line"
}

# try LOG COMMAND... prints the command, runs it and keeps its output in LOG.
try() {
    local log=$1
    shift
    echo_command "$@"
    "$@" >"$log" 2>&1 </dev/null
}

# run COMMAND... runs what must succeed.
run() {
    if ! try "$dir/log" "$@"; then
        printf '   %sThis command failed:%s\n' "$red" "$plain" >&2
        show <"$dir/log" >&2
        exit 1
    fi
}

# refused TEXT COMMAND... runs what must fail, with TEXT in its output.
refused() {
    local want=$1
    shift
    if try "$dir/log" "$@"; then
        printf '   %sThis command should have failed:%s\n' "$red" "$plain" >&2
        show <"$dir/log" >&2
        exit 1
    fi
    if ! grep -q -- "$want" "$dir/log"; then
        printf '   %sThis command failed otherwise than with "%s":%s\n' "$red" "$want" "$plain" >&2
        show <"$dir/log" >&2
        exit 1
    fi
    grep -m 1 -- "$want" "$dir/log" | show
}

# The two programs that speak to the HSM, with the arguments that are always the same.
p11() { pkcs11-tool --module "$module" --token-label demo --login --pin "$pin" "$@"; }
openssl_hsm() { OPENSSL_CONF=$dir/openssl.cnf openssl "$@"; }

# The names by which OpenSSL finds the keys (RFC 7512).
key() { printf 'pkcs11:token=demo;object=%s;type=private?pin-source=file:pin' "$1"; }

cat >"$dir/openssl.cnf" <<EOF
openssl_conf = openssl
[openssl]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = $module
init = 0
[req]
distinguished_name = name
[name]
EOF
printf %s "$pin" >"$dir/pin"
cd "$dir"

printf '%sTidelock: an HSM in software%s\n' "$bold" "$plain"
cat <<EOF
Keys live and work in a process of their own, the HSM. Programs ask it to sign
or decrypt through PKCS#11, and never hold a key. Below,
  p11          is  pkcs11-tool --module bin/libtidelock.so --token-label demo --login --pin ...
  openssl_hsm  is  openssl with a configuration that names bin/libtidelock.so
EOF

step 'Make an HSM' \
    'An HSM is a directory; its partition "demo" is what PKCS#11 calls a token.'
run "$tidelock" quickstart --home "$TIDELOCK_HOME" --label demo --so-pin "$so_pin" --pin "$pin"
show <log
run "$tidelock" hsm show
show <log
happened 'The HSM is ready. Its server starts by itself when a program needs it.'

step 'Make keys inside' \
    'One for a certification authority (CA), one for a TLS server, one to sign documents, one for AES.'
run p11 --keypairgen --key-type EC:secp384r1 --id 01 --label ca --usage-sign
run p11 --keypairgen --key-type EC:prime256v1 --id 02 --label server --usage-sign
run p11 --keypairgen --key-type rsa:2048 --id 03 --label documents --usage-sign
run p11 --keygen --key-type AES:32 --id 04 --label archive --sensitive
run p11 --list-objects --type privkey
grep -E 'Private Key|label|Access' log | show
happened 'The private keys were born inside and are marked "sensitive, never extractable".'

step 'Try to take a key out' \
    'The right PIN lets a program use a key, not see it; without the PIN it cannot even use it.'
refused CKR_ATTRIBUTE_SENSITIVE p11 --read-object --type secrkey --label archive
happened 'Reading the AES key: the HSM answers CKR_ATTRIBUTE_SENSITIVE.'
refused 'private key encode error' openssl_hsm pkey -engine pkcs11 -inform engine -in "$(key documents)" -out stolen.pem
happened 'Exporting an RSA key: OpenSSL holds its public half only, and has nothing to write.'
refused CKR_PIN_INCORRECT pkcs11-tool --module "$module" --token-label demo --login --pin a-wrong-pin --list-objects
happened 'A wrong PIN: CKR_PIN_INCORRECT.'

step 'Found a CA' \
    'OpenSSL writes the certificates; the HSM makes each signature with the CA'\''s key.'
run openssl_hsm req -x509 -new -engine pkcs11 -keyform engine -key "$(key ca)" -sha384 \
    -subj '/CN=Demo root' -days 30 -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -out ca.pem
run openssl_hsm req -new -engine pkcs11 -keyform engine -key "$(key server)" \
    -subj '/CN=localhost' -addext subjectAltName=DNS:localhost -out server.csr
run openssl_hsm x509 -req -engine pkcs11 -in server.csr -CA ca.pem -CAkeyform engine -CAkey "$(key ca)" -sha384 \
    -copy_extensions copy -days 7 -out server.pem
run openssl x509 -in server.pem -noout -subject -issuer
show <log
run openssl verify -CAfile ca.pem server.pem
show <log
happened 'The chain verifies with an OpenSSL that knows nothing of the HSM.'

step 'Serve TLS' \
    'A web server whose private key stays in the HSM, and a client that trusts the CA.'
echo 'Hello from a server that has never seen its own private key.' >index.html
serve=(s_server -engine pkcs11 -keyform engine -key "$(key server)" -cert server.pem -accept 127.0.0.1:0 -WWW)
echo_command openssl_hsm "${serve[@]}"
: >server.log # the loop below may look before the server has begun
OPENSSL_CONF=$dir/openssl.cnf openssl "${serve[@]}" >server.log 2>&1 </dev/null &
tls_server=$!
port=''
for ((i = 0; i < 200; i++)); do
    port=$(sed -n 's/^ACCEPT 127\.0\.0\.1:\([0-9]*\).*/\1/p' server.log | head -1)
    [[ -n $port ]] && break
    kill -0 "$tls_server" 2>/dev/null || break
    sleep 0.05
done
if [[ -z $port ]]; then
    echo 'The TLS server did not start:' >&2
    show <server.log >&2
    exit 1
fi
run curl --silent --show-error --fail -4 --max-time 10 --noproxy '*' --cacert ca.pem "https://localhost:$port/index.html"
show <log
grep -q 'never seen its own private key' log
refused 'SSL certificate problem' curl --silent --show-error -4 --max-time 10 --noproxy '*' "https://localhost:$port/index.html"
kill "$tls_server"
wait "$tls_server" 2>/dev/null || true
tls_server=''
happened 'The handshake was signed inside the HSM; a client that does not know the CA turns away.'

step 'Sign a document, verify it anywhere' \
    'The signature comes from the HSM; to verify it, the public key and OpenSSL are enough.'
echo 'I owe you ten crowns.' >document
run p11 --sign --mechanism SHA256-RSA-PKCS --id 03 --input-file document --output-file document.sig
run p11 --read-object --type pubkey --id 03 --output-file documents.pub
run openssl dgst -sha256 -keyform DER -verify documents.pub -signature document.sig document
show <log
echo 'I owe you ten thousand crowns.' >document
refused 'Verification failure' openssl dgst -sha256 -keyform DER -verify documents.pub -signature document.sig document
happened 'The document verifies; changed by a word, it does not.'

step 'Set up a second partition, as an operator does' \
    'The HSM SO gives it room, its Partition SO initialises it and makes the Crypto Officer, who makes the Crypto User.'
echo "$so_pin" >so.pin
echo 'partition-so-1618' >po.pin
echo 'first-pin-1414' >first.pin
echo 'crypto-officer-1732' >co.pin
echo 'crypto-user-2236' >cu.pin
run "$tidelock" partition create payments --size 1M --pin-file so.pin
show <log
run "$tidelock" partition init --partition payments --label payments --pin-file po.pin
run "$tidelock" role init co --partition payments --pin-file po.pin --new-pin-file first.pin
run "$tidelock" role changepw co --partition payments --pin-file first.pin --new-pin-file co.pin
run "$tidelock" key generate ec --partition payments --label invoices --pin-file co.pin
run "$tidelock" role init cu --partition payments --pin-file co.pin --new-pin-file cu.pin
run "$tidelock" partition show --partition payments
show <log
happened 'Room, roles and keys of "payments" are its own; whoever has the PINs of "demo" has nothing here.'

step 'Wrong PINs have consequences' \
    'Each try is counted, durably, before it is looked at.'
refused '9 tries are left' "$tidelock" key list --partition payments --pin-file so.pin
run "$tidelock" role list --partition payments
show <log
run "$tidelock" partition delete --partition payments --pin-file so.pin --dry-run
show <log
run "$tidelock" partition delete --partition payments --pin-file so.pin --yes
happened 'Deleted: its key is gone in one transaction, and with it everything that was kept under it.'

step 'Ask who did what' \
    'The log is a chain: nothing in it can be altered, cut or reordered unnoticed.'
run "$tidelock" audit verify
show <log
happened 'Every login, key and destruction of this demo is in it: tidelock audit show.'

step 'Stop the HSM, and start it again' \
    'Keys of a partition outlive the server; the next program starts it by itself.'
run "$tidelock" stop
echo 'I owe you nothing.' >document
run p11 --sign --mechanism SHA256-RSA-PKCS --id 03 --input-file document --output-file document.sig
run openssl dgst -sha256 -keyform DER -verify documents.pub -signature document.sig document
show <log
run "$tidelock" stop
happened 'The same key has signed after the restart.'

step 'Update an older HSM' \
    'An HSM of firmware 7.4.2 becomes one of 7.8.0 with its keys; its Partition SO makes the partition version 1.'
export TIDELOCK_HOME=$dir/old
run "$tidelock" quickstart --home "$TIDELOCK_HOME" --label demo --so-pin "$so_pin" --pin "$pin" --firmware 7.4.2
run p11 --keypairgen --key-type EC:prime256v1 --label treaties --id 09 --usage-sign
run p11 --read-object --type pubkey --id 09 --output-file treaties.pub
echo 'Peace, for ever.' >treaty
# signs SIGNATURE lets the key sign, and OpenSSL verify.
signs() {
    run p11 --sign --mechanism ECDSA-SHA256 --signature-format openssl --id 09 --input-file treaty --output-file "$1"
    run openssl dgst -sha256 -keyform DER -verify treaties.pub -signature "$1" treaty
}
signs old.sig
run "$tidelock" hsm firmware update 7.8.0 --dry-run
show <log
run "$tidelock" hsm firmware update 7.8.0 --yes --pin-file so.pin
show <log
signs new.sig
run "$tidelock" partition set-policy 41=1 --pin-file so.pin
show <log
run "$tidelock" partition show
grep -E 'Version|Size|Objects|Limited' log | show
signs v1.sig
happened 'One key has signed at 7.4.2, at 7.8.0 and in a partition of version 1.'
run "$tidelock" partition set-policy 41=0 --pin-file so.pin --dry-run
show <log
happened 'Back to version 0 costs every object, and is said before it happens.'
run "$tidelock" stop

step 'Compare the kinds of partition' \
    'For each row a scenario makes HSMs in a scratch directory, works with them and tells what it has seen.'
run "$tidelock" compare POL-2 ROL-1 OBJ-4
show <log
happened 'tidelock compare --html page.html shows all rows, with every command and answer.'

printf '\n%sAll of it worked%s, in %d seconds. The demo'\''s files are removed; README.md shows how to go on.\n' "$bold$green" "$plain" "$SECONDS"
