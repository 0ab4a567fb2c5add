#!/usr/bin/env bash
# A one-node Slurm on loopback with two fake GPUs, for tests: `lab.sh install`, `lab.sh up DIR`, `lab.sh down DIR`.
# Needs root and Debian packages. Everything it starts writes a pid file into DIR and is stopped by it.
set -euo pipefail

need_root() {
    [ "$(id -u)" = 0 ] || { echo "lab.sh: needs root to start slurmctld, slurmd and munged" >&2; exit 2; }
}

install() {
    need_root
    command -v slurmctld slurmd sbatch munged > /dev/null && return
    command -v apt-get > /dev/null || { echo "lab.sh: needs Debian's apt-get to install Slurm" >&2; exit 2; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
}

configure() { # $1: the lab's folder
    local host memory
    host=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024) - 512}' /proc/meminfo)
    mkdir -p "$1"/{state,spool,log,dev}
    for gpu in 0 1; do
        [ -e "$1/dev/fakegpu$gpu" ] || mknod "$1/dev/fakegpu$gpu" c 1 3 # a null device: it only has to exist
    done
    cat > "$1/slurm.conf" << CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/log/slurmctld.log
SlurmdLogFile=$1/log/slurmd.log
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=$memory Gres=gpu:fake:2 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PreemptMode=OFF
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=2
CONF
    printf 'AutoDetect=off\nNodeName=%s Name=gpu Type=fake File=%s/dev/fakegpu[0-1]\n' "$host" "$1" > "$1/gres.conf"
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' > "$1/cgroup.conf"
}

process() { # $1: a pid; prints what no other process has had: the pid and its start
    echo "$1 $(sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20)"
}

claim() { # makes this lab the machine's Slurm: takes down one whose tests were killed, waits for one whose tests still run
    local other owner
    mkdir -p /etc/slurm
    for _ in $(seq 1200); do
        # Jobs lose SLURM_CONF on their way through nested srun, so the files must be where Slurm looks by itself.
        if ln -s "$1/slurm.conf" /etc/slurm/slurm.conf 2> /dev/null; then
            for name in gres.conf cgroup.conf; do ln -sf "$1/$name" "/etc/slurm/$name"; done
            return
        fi
        other=$(dirname "$(readlink /etc/slurm/slurm.conf || true)")
        # A link into a folder that has gone is a lab's too: nothing else leaves one.
        if [ -e "$other" ] && [ ! -e "$other/dev/fakegpu0" ]; then
            echo "lab.sh: this machine has a Slurm already (/etc/slurm/slurm.conf)" >&2
            exit 2
        fi
        owner=$(cat "$other/owner" 2> /dev/null || true)
        if [ "$owner" = "$(process "${owner%% *}")" ]; then sleep 1; else down "$other"; fi
    done
    echo "lab.sh: the Slurm of $other is still in use by process ${owner%% *}" >&2
    exit 2
}

up() {
    need_root
    configure "$1"
    process "$PPID" > "$1/owner"
    claim "$1"
    mkdir -p /run/munge
    if ! munge -n > /dev/null 2>&1; then # asked, because a killed munged leaves its socket behind
        chown munge: /run/munge && chmod 0755 /run/munge
        install_key
        setpriv --reuid=munge --regid=munge --clear-groups munged --force --pid-file=/run/munge/lab.pid --log-file=/run/munge/lab.log
        cp /run/munge/lab.pid "$1/munged.pid"
    fi
    slurmctld
    slurmd
    for _ in $(seq 60); do
        if timeout 2 sinfo -h -o %T 2> /dev/null | grep -q idle; then
            echo "slurm up: $(timeout 2 sinfo -h -o '%P %T %G' | tr '\n' ' ')"
            return
        fi
        sleep 0.5
    done
    tail -n 5 "$1"/log/*.log >&2
    down "$1"
    echo "lab.sh: Slurm did not come up" >&2
    exit 1
}

install_key() {
    [ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=128 status=none; }
    chown munge: /etc/munge/munge.key && chmod 0400 /etc/munge/munge.key
}

down() {
    timeout 5 scancel --user=root --quiet 2> /dev/null || true
    local name pid
    for name in slurmd slurmctld munged; do
        [ -s "$1/$name.pid" ] || continue
        pid=$(cat "$1/$name.pid")
        # A file that outlived its process may give the number of another one.
        [ "$(cat "/proc/$pid/comm" 2> /dev/null)" = "$name" ] || { rm -f "$1/$name.pid" && continue; }
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 40); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.25
        done
        kill -9 "$pid" 2> /dev/null || true
        rm -f "$1/$name.pid"
    done
    # A configuration whose controller is down would cost every later snakemake call ten seconds.
    for name in slurm.conf gres.conf cgroup.conf; do
        if [ "$(readlink "/etc/slurm/$name")" = "$1/$name" ]; then rm "/etc/slurm/$name"; fi
    done
    echo "slurm down"
}

case "${1:-}" in
    install) install ;;
    up | down) "$1" "$(mkdir -p "$2" && cd "$2" && pwd)" ;;
    *) echo "usage: lab.sh install | up DIR | down DIR" >&2; exit 2 ;;
esac
