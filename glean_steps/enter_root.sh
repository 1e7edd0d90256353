# Usage, in a mount namespace of its own: sh enter_root.sh ROOT FOLDER PROGRAM ARGUMENTS...
# Runs a program inside the system at ROOT, in FOLDER, with this machine's data folders at the same paths as outside. The
# mounts vanish with the namespace, so nothing has to be undone.
set -e
root=$1
folder=$2
shift 2
for entry in /*; do
  case "$entry" in
    /bin | /sbin | /lib | /lib32 | /lib64 | /libx32 | /usr | /etc | /var | /boot | /lost+found | /snap) continue ;;
  esac
  [ -d "$entry" ] && [ ! -L "$entry" ] || continue
  mkdir -p "$root$entry"
  mount --rbind "$entry" "$root$entry"
done
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
