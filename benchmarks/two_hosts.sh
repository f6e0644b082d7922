#!/usr/bin/env bash
# Train on two hosts, which are two network namespaces joined by a cable; cut the cable for a while, and go on.
#
#     sudo benchmarks/two_hosts.sh            # Linux, iproute2; takes about two minutes
#
# Each host has a disk folder of its own for outputs, and sees only the other's address. Expected: with the
# cable cut, both commands end by themselves, no process is left on either host; the same two commands then
# go on from the last checkpoint, and the model is that of one host with two processes, bit for bit.
set -euo pipefail

PYTHON=${PYTHON:-python3}
WAIT=${WAIT:-15}                       # seconds that processes wait for each other
WORK=$(mktemp -d /tmp/luban-hosts-XXXXXX)
A=luban-a-$$ B=luban-b-$$

clean() {
    for host in $A $B; do
        ip netns pids $host 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns del $host 2>/dev/null || true
        rm -rf "/etc/netns/$host"
    done
    rm -rf "$WORK"
}
trap clean EXIT

host() {  # name, address: a namespace that resolves its own name
    ip netns add "$1"
    ip -n "$1" link set lo up
    mkdir -p "/etc/netns/$1"
    printf '127.0.0.1 localhost\n%s %s\n' "$2" "$(hostname)" > "/etc/netns/$1/hosts"
}

host $A 10.77.0.1
host $B 10.77.0.2
ip -n $A link add cable type veth peer name cable netns $B
ip -n $A addr add 10.77.0.1/24 dev cable; ip -n $A link set cable up
ip -n $B addr add 10.77.0.2/24 dev cable; ip -n $B link set cable up

"$PYTHON" - "$WORK/rows.jsonl" <<'ROWS'
import json, random, sys
draw = random.Random(0)
words = ("lovely fine warm bright happy", "awful cold grim dull sad")
with open(sys.argv[1], "w") as file:
    for i in range(200):
        text = " ".join(draw.choices([*words[i % 2].split(), *"the a film of day and in".split()], k=8))
        file.write(json.dumps({"text": text, "label": ("good", "bad")[i % 2]}) + "\n")
ROWS

STEPS=${STEPS:-400}
train() {  # the command, but for where it writes
    "$PYTHON" -m luban train --task classify --data "$WORK/rows.jsonl" --out "$1" --set train.steps=$STEPS \
        --set train.evaluate_every_steps=200 --set train.save_every_steps=50 --set train.log_every_steps=200 \
        --set train.n_micro_batches=2 --set train.tokens_per_batch=256 --set train.lr=1e-3 \
        --set train.threads=1 --set train.device=cpu \
        --set train.parallel.timeout_seconds=$WAIT --max-restarts 0 --wait-seconds $((WAIT + 5)) "${@:2}"
}
on_host() {  # name, address, folder
    mkdir -p "$WORK/$3"
    ip netns exec "$1" env LUBAN_ADDRESS="$2" GLOO_SOCKET_IFNAME=cable LUBAN_HOME="$WORK/home" \
        PYTHON="$PYTHON" bash -c "$(declare -f train); WORK=$WORK STEPS=$STEPS WAIT=$WAIT; \
        train $WORK/$3/out --nnodes 2 --rendezvous 10.77.0.1:29511" > "$WORK/$3.log" 2>&1
}
both() { on_host $A 10.77.0.1 a & PA=$!; on_host $B 10.77.0.2 b & PB=$!; }
codes() { local a=0 b=0; wait $PA || a=$?; wait $PB || b=$?; echo "host A ended with code $a, host B with $b"; }
rows() { cat "$WORK"/a/out.partial-*/metrics.jsonl 2>/dev/null | wc -l; }
left() { echo "processes left: A $(ip netns pids $A | wc -l), B $(ip netns pids $B | wc -l)"; }

echo "== one host, two processes"
env LUBAN_HOME="$WORK/home" bash -c "$(declare -f train); WORK=$WORK STEPS=$STEPS WAIT=$WAIT PYTHON=$PYTHON; \
    train $WORK/whole --nproc 2" > "$WORK/whole.log" 2>&1 || { cat "$WORK/whole.log"; exit 1; }

echo "== two hosts; the cable is cut after 100 steps"
both
for _ in $(seq 600); do [ "$(rows)" -ge 100 ] && break; sleep 0.1; done
ip -n $A link set cable down
CUT=$SECONDS
codes
echo "both had given up $((SECONDS - CUT)) s after the cut (they wait $WAIT s for each other)"
left
grep -h "lost\|error\|fix" "$WORK/a.log" "$WORK/b.log" | sort | uniq -c | head -8 || true
echo "rows written before the cut: $(rows)"

echo "== the cable is back; the same commands"
ip -n $A link set cable up
both
codes
left
grep -h "going on after" "$WORK/a.log" || { tail -5 "$WORK/a.log" "$WORK/b.log"; exit 1; }
ls "$WORK/b" | sed 's/^/host B keeps: /'
ONE=$(sha256sum < "$WORK/whole/model.safetensors") TWO=$(sha256sum < "$WORK/a/out/model.safetensors")
[ "$ONE" = "$TWO" ] && echo "the model is that of one host, bit for bit" || { echo "THE MODELS DIFFER"; exit 1; }
