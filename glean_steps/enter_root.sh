# Usage, in a mount namespace of its own: sh enter_root.sh ROOT FOLDER PROGRAM ARGUMENTS...
# Runs a program inside the system at ROOT, in FOLDER, with this machine's data folders at the same paths as outside. The
# mounts vanish with the last program in the namespace.
set -e
root=$1
folder=$2
shift 2

# Nothing mounted here may reach the machine's own namespace: it would outlive this one, and whoever removes the root
# would remove the machine's folders with it. Inside a chroot there is no mount at / to say that of, so the root becomes
# one; that one may stay, and is used again. The others must not be taken away afterwards: Wine's daemons outlive the
# program that started them.
mount --make-rprivate / 2>/dev/null || {
  mountpoint -q "$root" || mount --bind "$root" "$root"
  mount --make-private "$root"
}

for entry in /*; do
  case "$entry" in
    /bin | /sbin | /lib | /lib32 | /lib64 | /libx32 | /usr | /etc | /var | /boot | /lost+found | /snap) continue ;;
  esac
  [ -d "$entry" ] && [ ! -L "$entry" ] || continue
  mkdir -p "$root$entry"
  mount --rbind "$entry" "$root$entry"
done

# The name servers of today, not of the day when the root was made.
if [ -r /etc/resolv.conf ] && touch "$root/etc/resolv.conf" 2>/dev/null; then
  mount --bind "$(readlink -f /etc/resolv.conf)" "$root/etc/resolv.conf" || true
fi

exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
