# What a node changes on the machine, and back again: machine.sh FOLDER NAME ADDRESS
#
# Says "ready" and then waits for the end of its input, which comes when the process that started it lets go of it, or
# is gone. One way down for both, so that a killed test leaves as little behind as one that ends well. Where this script
# was killed itself, the next one takes down what is left before it begins.
set -u
# Whoever reads what we say may be gone by then.
trap '' PIPE
own_folder=$1 own_name=$2 address=$3

# One node at a time: two would restore each other's settings. Taken on a folder that is there anyway.
exec 9</sys/fs/cgroup
flock -n 9 || { echo waiting; flock 9; }

settings="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
    kernel/keys/root_maxbytes net/ipv4/ip_forward"

# A folder in each hierarchy: the kubelet wants its root in all of them.
hierarchies=$(for it in /sys/fs/cgroup/*; do [ -f "$it/cgroup.procs" ] && echo "$it"; done)

# Takes down the node NAME, whose folder is FOLDER: down FOLDER NAME
down() {
    folder=$1 name=$2
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
    ip address del "$address/24" dev lo 2>/dev/null
    # What the settings were: it isn't there if this node changed none.
    [ ! -f "$folder/settings" ] || while IFS='=' read -r setting value; do
        echo "$value" >"/proc/sys/$setting"
    done <"$folder/settings"
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
    for setting in $settings; do
        echo "$setting=$(cat "/proc/sys/$setting")"
    done >"$own_folder/settings" || return
    for it in $hierarchies; do
        mkdir "$it/$own_name" || return
        case $it in */pids) mkdir "$it/$own_name/system" || return ;; esac
    done
    for it in cpuset.cpus cpuset.mems; do
        cat "/sys/fs/cgroup/cpuset/$it" >"/sys/fs/cgroup/cpuset/$own_name/$it" || return
    done
    # With the range of Services around it: on lo all of its addresses are this machine's.
    ip address add "$address/24" dev lo
}

# With the lock held, whatever has a cgroup here belongs to nobody any more.
for name in $(find /sys/fs/cgroup -mindepth 2 -maxdepth 2 -name 'realtime-token-node-*' -printf '%f\n' | sort -u); do
    down "$(dirname "$own_folder")/$name" "$name"
done
if up; then
    echo ready
    while read -r _; do :; done
fi
down "$own_folder" "$own_name"
