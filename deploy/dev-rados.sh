#!/bin/bash
# A one-node RADOS on loopback for development and tests. `dev-rados.sh --help` says how to use it.
#
# One monitor and one OSD from Debian's packages run in the foreground of their own sessions; all that they write
# lies under DIR. No mgr, no systemd, no root needed. A process is signalled only if the pid file of DIR names it
# and its command line names the ceph.conf of DIR.
set -euo pipefail

usage() {
  cat <<'HELP'
usage: dev-rados.sh COMMAND DIR

A one-node RADOS cluster (one monitor, one OSD, one pool) on 127.0.0.1. Everything is kept in DIR.

commands
  start      create the cluster in DIR (new or empty) or resume the stopped one there; returns when a first write
             is acknowledged. A memstore cluster has no memory: start creates it afresh.
  stop       end the daemons of DIR; bluestore and filestore keep their data. Then `rm -r DIR` removes it all.
  kill-osd   kill -9 the OSD and wait until it is gone
  start-osd  start the OSD again; returns when a write is acknowledged
  status     say what runs; exit code 0 if everything does, 3 if not

environment, read by start when it creates a cluster
  STORE    bluestore (default; on a sparse file) | filestore | memstore (fast, lost when the OSD ends)
  POOL     name of the pool, default archipelago
  MONPORT  port of the monitor, default 40100; the OSD takes free ones of the next 60
  SIZE     bytes of the bluestore file, default 32G, at least 1G (suffixes K M G T)
  MEMSIZE  bytes of the memstore, default 8G, at least 1G
  AUTH     none (default) | cephx
  WAIT     seconds that start and start-osd wait for the first write, default 60

Clients use DIR/ceph.conf, for example: rados -c DIR/ceph.conf -p archipelago ls
The pids are in DIR/mon.a.pid and DIR/osd.0.pid.
exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 3 status: not everything runs
HELP
}

die() { echo "dev-rados: $*" >&2; exit 1; }
misuse() { echo "dev-rados: $* (see dev-rados.sh --help)" >&2; exit 2; }

for arg in "$@"; do case $arg in -h | --help) usage; exit 0 ;; esac; done
[ $# -eq 2 ] || misuse "expected COMMAND and DIR, got $# arguments"
command=$1
case $command in start | stop | kill-osd | start-osd | status) ;; *) misuse "unknown command '$command'" ;; esac
[ -n "$2" ] || misuse "DIR is empty"
dir=$(realpath -m -- "$2")
[ "$dir" != / ] || misuse "DIR must not be /"
case $dir in *[!A-Za-z0-9/._+-]*) die "$dir: only letters, digits and / . _ + - may be in the path (it goes into ceph.conf)" ;; esac
# The daemons' admin sockets lie in DIR and the kernel takes 107 bytes.
[ ${#dir} -le 90 ] || die "$dir: path is ${#dir} bytes long, at most 90 fit (Unix sockets lie in it)"

conf=$dir/ceph.conf
marker=$dir/.dev-rados                       # says that DIR is ours; holds what the cluster was created with
wait_seconds=${WAIT:-60}
[[ $wait_seconds =~ ^[1-9][0-9]{0,3}$ ]] || misuse "WAIT='$wait_seconds': expected seconds, 1 to 9999"

# ---- processes -----------------------------------------------------------------------------------------------

# Prints the pid of daemon $1 if it runs and is ours.
pid_of() {
  local pid state
  pid=$(cat "$dir/$1.pid" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$conf" || return 1
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$pid/status" 2>/dev/null) || return 1
  [ "$state" != Z ] || return 1
  echo "$pid"
}

spawn() {                                    # NAME COMMAND...
  local name=$1
  shift
  setsid "$@" >"$dir/$name.out" 2>&1 </dev/null 9>&- &
  echo $! >"$dir/$name.pid"
  disown $!                                  # else bash reports its end on our stderr
  # Until the child has called exec its command line is ours and pid_of would take it for a stranger.
  while kill -0 $! 2>/dev/null && ! pid_of "$name" >/dev/null && [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$!/cmdline")" ]; do sleep 0.01; done
}

spawn_mon() { spawn mon.a ceph-mon -f -i a -c "$conf"; }
spawn_osd() { spawn osd.0 ceph-osd -f -i 0 -c "$conf"; }

# Ends daemon $1: $2 first, SIGKILL after 10 s. True also if it does not run.
end() {
  local pid i
  pid=$(pid_of "$1") || { rm -f "$dir/$1.pid"; return 0; }
  kill "-$2" "$pid" 2>/dev/null || true
  for ((i = 0; i < 300; i++)); do
    pid_of "$1" >/dev/null || { rm -f "$dir/$1.pid"; return 0; }
    [ $i -ne 200 ] || kill -KILL "$pid" 2>/dev/null || true
    sleep 0.05
  done
  die "$1 (pid $pid) does not end, not even by SIGKILL: is its disk hung?"
}

# Says why daemon $1 is not there, with the end of what it printed and logged.
explain() {
  echo "dev-rados: $1 does not run; the end of its output and log:" >&2
  tail -qn 8 "$dir/$1.out" "$dir/$1.log" 2>/dev/null >&2 || true
}

need_daemons() {
  local name ok=1
  for name in "$@"; do pid_of "$name" >/dev/null || { explain "$name"; ok=0; }; done
  [ $ok = 1 ]
}

# Runs "$@" again and again, each attempt for at most a second or so, until it succeeds, a daemon dies or time is up.
until_done() {
  local what=$1 end_time=$((SECONDS + wait_seconds))
  shift
  while ! "$@" 2>"$dir/last-error"; do
    need_daemons mon.a ${daemon_osd:-} || die "$what failed: a daemon ended (full logs in $dir)"
    [ $SECONDS -lt $end_time ] || die "$what: not done after $wait_seconds s: $(tail -n 1 "$dir/last-error") (logs in $dir)"
    sleep 0.1
  done
}

# ---- checks --------------------------------------------------------------------------------------------------

need_programs() {
  local p
  for p in ceph-mon ceph-osd ceph rados ceph-authtool monmaptool; do
    command -v $p >/dev/null || die "$p is not installed: apt-get install ceph-mon ceph-osd ceph-common (tests/run.sh does it)"
  done
}

need_ours() {
  [ -d "$dir" ] || die "$dir: no such directory: 'dev-rados.sh start $dir' creates a cluster there"
  [ -f "$marker" ] || die "$dir was not made by dev-rados.sh (no $(basename "$marker") in it): nothing is touched"
}

# One dev-rados.sh at a time per DIR. The daemons do not inherit the lock (spawn closes 9).
lock() {
  exec 9<"$dir"
  flock -w "$wait_seconds" 9 || die "$dir is in use by another dev-rados.sh"
}

bytes() {                                    # NAME VALUE
  local n
  n=$(numfmt --from=iec -- "$2" 2>/dev/null) || misuse "$1='$2': expected bytes, with a suffix K, M, G or T if you like"
  [ "$n" -ge 1073741824 ] || misuse "$1='$2': at least 1G"
  echo "$n"
}

read_settings() {
  store=${STORE:-bluestore} pool=${POOL:-archipelago} port=${MONPORT:-40100} auth=${AUTH:-none}
  case $store in bluestore | filestore | memstore) ;; *) misuse "STORE='$store': expected bluestore, filestore or memstore" ;; esac
  # With filestore names must fit a file name on any file system; the others take Ceph's default.
  name_length=2048
  [ "$store" != filestore ] || name_length=256
  case $auth in none | cephx) ;; *) misuse "AUTH='$auth': expected none or cephx" ;; esac
  [[ $pool =~ ^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$ ]] || misuse "POOL='$pool': expected up to 64 letters, digits, . _ -"
  [[ $port =~ ^[0-9]{4,5}$ ]] && [ "$port" -ge 1024 ] && [ "$port" -le 65400 ] || misuse "MONPORT='$port': expected 1024 to 65400"
  size=$(bytes SIZE "${SIZE:-32G}")
  memsize=$(bytes MEMSIZE "${MEMSIZE:-8G}")
}

# ---- creating ------------------------------------------------------------------------------------------------

write_conf() {
  cat >"$conf" <<CONF
# Written by dev-rados.sh: one monitor, one OSD, loopback, development only.
[global]
fsid = $1
mon_host = [v2:127.0.0.1:$port/0]
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = $((port + 1))
ms_bind_port_max = $((port + 60))
auth_cluster_required = $auth
auth_service_required = $auth
auth_client_required = $auth
auth_allow_insecure_global_id_reclaim = false
keyring = $dir/keyring
run_dir = $dir
crash_dir = $dir
log_file = $dir/\$name.log
log_to_stderr = false
admin_socket = $dir/\$name.asok
# A client that starts while the OSD is down would first wait 10 s.
objecter_timeout = 1
objecter_tick_interval = 0.5
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
# A frozen OSD would wedge its size-1 groups when its read lease runs out.
osd_pool_default_read_lease_ratio = 100

[mon]
mon_data = $dir/mon
mon_cluster_log_file = $dir/cluster.log
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_osd_nearfull_ratio = .94
mon_osd_backfillfull_ratio = .95
mon_osd_full_ratio = .96
# One monitor has nobody to wait for.
paxos_min_wait = 0.01
paxos_propose_interval = 0.05

[osd]
osd_data = $dir/osd
osd_objectstore = $store
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 2
osd_memory_target = 1073741824
osd_failsafe_full_ratio = .99
osd_max_object_name_len = $name_length
osd_max_object_namespace_len = 64
osd_journal = $dir/osd/journal
osd_journal_size = 1024
memstore_device_bytes = $memsize
memstore_page_set = true
memstore_page_size = 4096
bluestore_block_size = $size
bluestore_fsck_on_mkfs = false
bluestore_debug_enforce_settings = ssd
bdev_aio_poll_ms = 10

[client]
# Two clients in one process would fight for one socket and print to stderr.
admin_socket =
log_file =
err_to_stderr = false
CONF
}

add_key() {                                  # ENTITY CAPS...
  local entity=$1
  shift
  ceph-authtool "$dir/keyring" --gen-key -n "$entity" "$@" >/dev/null
}

# Removes what a former cluster left, and nothing else.
wipe() { rm -rf -- "$dir"/{mon,osd} "$dir"/{ceph.conf,keyring,monmap,cluster.log,ready,created,last-error} "$dir"/{mon.a,osd.0}.* "$dir"/mkfs.*; }

create() {
  local fsid osd_uuid mkfs
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port on 127.0.0.1 is in use: another cluster? Set MONPORT to a free one"
  fi
  wipe
  trap abandon EXIT
  printf 'store=%s\npool=%s\nport=%s\n' "$store" "$pool" "$port" >"$marker"
  mkdir "$dir/mon" "$dir/osd"
  fsid=$(cat /proc/sys/kernel/random/uuid)
  osd_uuid=$(cat /proc/sys/kernel/random/uuid)
  write_conf "$fsid"

  (umask 077 && : >"$dir/keyring")
  add_key mon. --cap mon 'allow *'
  add_key client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  add_key osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --clobber --fsid "$fsid" --addv a "[v2:127.0.0.1:$port]" "$dir/monmap" >"$dir/mkfs.mon.out" 2>&1 ||
    die "monmaptool failed: $(tail -n 3 "$dir/mkfs.mon.out")"
  ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring" >>"$dir/mkfs.mon.out" 2>&1 ||
    die "ceph-mon --mkfs failed: $(tail -n 3 "$dir/mkfs.mon.out")"
  spawn_mon
  # The OSD's mkfs needs nothing of the monitor, so both start at the same time.
  ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >"$dir/mkfs.osd.out" 2>&1 9>&- &
  mkfs=$!
  until_done "asking the monitor for an OSD id" ceph -c "$conf" --connect-timeout 5 osd new "$osd_uuid" 0 >/dev/null
  wait $mkfs || die "ceph-osd --mkfs ($store) failed: $(grep -m 3 -i error "$dir/mkfs.osd.out") (all of it: $dir/mkfs.osd.out)"
  spawn_osd
  daemon_osd=osd.0 until_done "creating pool $pool" ceph -c "$conf" --connect-timeout 5 osd pool create "$pool" 8 8 >/dev/null
  first_write
  : >"$dir/created"
  trap - EXIT
}

# A creation that fails or is interrupted leaves no daemon behind; its logs stay.
abandon() {
  local code=$?
  trap - EXIT
  end osd.0 KILL
  end mon.a KILL
  exit $code
}

first_write() {
  echo ok >"$dir/ready"
  daemon_osd=osd.0 until_done "the first write to pool $pool" timeout 5 rados -c "$conf" -p "$pool" put .ready "$dir/ready"
}

# Sets store, pool and port from what the cluster was created with; refuses an environment that says otherwise.
load_marker() {
  store= pool= port=
  local key value
  while IFS='=' read -r key value; do
    case $key in store) store=$value ;; pool) pool=$value ;; port) port=$value ;; esac
  done <"$marker"
  [ -n "$store" ] && [ -n "$pool" ] && [ -n "$port" ] || die "$marker is damaged: remove $dir and start again"
}

refuse_change() {                            # NAME WANTED HAS
  [ -z "$2" ] || [ "$2" = "$3" ] || die "$dir holds a cluster with $1=$3, not $2: use another directory, or remove this one"
}

report() {
  echo "RADOS runs: pool $pool, $store, monitor 127.0.0.1:$port"
  echo "ceph.conf:  $conf"
}

# ---- commands ------------------------------------------------------------------------------------------------

start() {
  need_programs
  read_settings
  if [ -e "$dir" ]; then
    [ -d "$dir" ] || die "$dir is not a directory"
    [ -f "$marker" ] || [ -z "$(ls -A -- "$dir")" ] ||
      die "$dir is not empty and was not made by dev-rados.sh: nothing is touched. Give a new directory"
  else
    mkdir -p -- "$dir"
  fi
  lock
  local running=0 name
  for name in mon.a osd.0; do ! pid_of $name >/dev/null || running=$((running + 1)); done
  if [ -f "$marker" ] && [ $running -gt 0 ]; then
    [ $running -eq 2 ] || die "the cluster in $dir runs in part ('dev-rados.sh status $dir'): use start-osd, or stop and start"
    die "the cluster in $dir runs already; its configuration is $conf"
  fi
  # A half-created cluster holds nothing, and neither does a memstore whose process ended.
  if [ -f "$dir/created" ] && grep -qx 'store=\(bluestore\|filestore\)' "$marker"; then
    load_marker
    refuse_change STORE "${STORE:-}" "$store"
    refuse_change POOL "${POOL:-}" "$pool"
    refuse_change MONPORT "${MONPORT:-}" "$port"
    echo "resuming the cluster in $dir"
    spawn_mon
    spawn_osd
    first_write
  else
    create
  fi
  report
}

stop() {
  need_ours
  lock
  load_marker
  # A memstore has nothing to save; filestore and bluestore are to see an orderly end.
  if [ "$store" = memstore ]; then end osd.0 KILL; else end osd.0 TERM; fi
  end mon.a TERM
  echo "stopped; DIR stays: $dir"
}

kill_osd() {
  need_ours
  lock
  pid_of osd.0 >/dev/null || die "the OSD of $dir does not run"
  end osd.0 KILL
}

start_osd() {
  need_programs
  need_ours
  lock
  load_marker
  [ -f "$dir/created" ] || die "$dir holds no complete cluster: start creates it"
  ! pid_of osd.0 >/dev/null || die "the OSD of $dir runs already"
  pid_of mon.a >/dev/null || die "the monitor of $dir does not run: use start"
  [ "$store" != memstore ] || die "a memstore OSD that ended has lost its data and would hang its clients: stop and start $dir"
  spawn_osd
  first_write
}

status() {
  need_ours
  load_marker
  local name pid all=0
  for name in mon.a osd.0; do
    if pid=$(pid_of $name); then echo "$name  runs, pid $pid"; else echo "$name  does not run"; all=3; fi
  done
  echo "pool   $pool ($store)"
  echo "mon    127.0.0.1:$port"
  echo "conf   $conf"
  return $all
}

case $command in
start) start ;;
stop) stop ;;
kill-osd) kill_osd ;;
start-osd) start_osd ;;
status) status || exit $? ;;
esac
