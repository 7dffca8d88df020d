# What a node changes on the machine, and back again: machine.sh FOLDER NAME ADDRESS
#
# Says "ready" and then waits for the end of its input, which comes when the process that started it lets go of it, or
# is gone. One way down for both, so that a killed test leaves as little behind as one that ends well.
set -u
# Whoever reads what we say may be gone by then.
trap '' PIPE
folder=$1 name=$2 address=$3 added=

# One node at a time: two would restore each other's settings. Taken on a folder that is there anyway.
exec 9</sys/fs/cgroup
flock -n 9 || { echo waiting; flock 9; }

settings="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
    kernel/keys/root_maxbytes net/ipv4/ip_forward"
before=$(for setting in $settings; do echo "$setting=$(cat "/proc/sys/$setting")"; done)

# A folder in each hierarchy: the kubelet wants its root in all of them.
hierarchies=$(for it in /sys/fs/cgroup/*; do [ -f "$it/cgroup.procs" ] && echo "$it"; done)

down() {
    # Everything that the node ever started is in there: runtime, shims, containers, kubelet.
    for _ in $(seq 100); do
        running=$(find "/sys/fs/cgroup/pids/$name" -name cgroup.procs -exec cat {} + 2>/dev/null)
        [ -n "$running" ] || break
        kill -KILL $running 2>/dev/null
        sleep 0.1
    done
    # The sockets of shims lie elsewhere, and each shim's folder says where.
    find "$folder" -xdev -path '*/io.containerd.runtime.v2.task/*' -name address -exec cat {} \; -exec echo \; 2>/dev/null |
        sed -n 's,^unix://,,p' | xargs -r rm -f
    # Innermost first. What is still in use after all goes when its last user does.
    for _ in 1 2 3; do
        mounts=$(awk -v "folder=$folder/" 'index($2, folder) == 1 {print $2}' /proc/self/mounts | sort -r)
        [ -n "$mounts" ] || break
        for it in $mounts; do umount "$it" 2>/dev/null || umount -l "$it"; done
    done
    for it in $hierarchies; do
        [ ! -d "$it/$name" ] || find "$it/$name" -depth -type d -exec rmdir {} +
    done
    [ -z "$added" ] || ip address del "$address/32" dev lo
    for it in $before; do echo "${it#*=}" >"/proc/sys/${it%%=*}"; done
    find /var/log/containers -lname "$folder/*" -delete 2>/dev/null
    # What the plugins remember of pods whose end they weren't told of.
    grep -lrs -- "$folder/" /var/lib/cni/results | xargs -r rm -f
    for it in /var/log/containers /var/lib/cni/results /var/lib/cni; do
        rmdir "$it" 2>/dev/null
    done
    for _ in 1 2 3 4 5; do
        rm -rf --one-file-system "$folder" && break
        sleep 1
    done
}

up() {
    for it in $hierarchies; do
        mkdir "$it/$name" || return
        case $it in */pids) mkdir "$it/$name/system" || return ;; esac
    done
    for it in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$it" >"/sys/fs/cgroup/cpuset/$name/$it" || return
    done
    ip address add "$address/32" dev lo && added=yes
}

if up; then
    echo ready
    while read -r _; do :; done
fi
down
