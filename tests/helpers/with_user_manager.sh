#!/bin/sh
# with_user_manager.sh COMMAND…: runs a command where a systemd user manager answers, for root on a machine that was not booted with
# systemd. Both are in a mount namespace of their own, so that nothing outside sees a change.
if [ "$1" != --inside ]; then exec unshare --mount --propagation private "$0" --inside "$@"; fi
shift
mount -t tmpfs tmpfs /run || exit 125
mkdir -p -m 700 /run/systemd/system "/run/user/$(id -u)"
export XDG_RUNTIME_DIR="/run/user/$(id -u)"
/lib/systemd/systemd --user >/run/manager.log 2>&1 &
manager=$!
tries=0
until systemctl --user show-environment >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ] || ! kill -0 $manager 2>/dev/null; then cat /run/manager.log >&2; exit 125; fi
  sleep 0.1
done
"$@"
code=$?
kill $manager
wait $manager
exit $code
