# Preparing a lane of tests that builds outside the tree: a cache that one run holds at a time, steps with
# progress, and a reason where it has to be skipped. To be sourced by a script that prints, as its last
# line, `ready FOLDER` or `skipped: REASON` (with exit code 0).

skip() {
  echo "skipped: $*"
  exit 0
}

# Makes the cache $1 and holds it until this process ends: two runs at once would build in the same folders.
hold_cache() {
  mkdir -p "$1" || skip "$1 cannot be made"
  exec 9>"$1/lock"
  flock -w 3600 9 || skip "another run holds $1"
}

# Runs a step, `step TITLE COMMAND…`, the next of `steps`; the lane is skipped where it fails.
step_at=0
step() {
  local title=$1 problem started=$SECONDS
  shift
  step_at=$((step_at + 1))
  echo "[$step_at/${steps:?}] $title"
  problem=$(mktemp)
  if ! "$@" 2>"$problem"; then
    cat "$problem" >&2
    skip "$title: $(tail -n 1 "$problem" | cut -c 1-200)"
  fi
  rm -f "$problem"
  echo "      done in $((SECONDS - started)) s"
}

# Runs the preparation $1, showing what it prints, and sets `ready` to the folder that it names; ends this
# script, without a failure, where the lane is skipped.
prepared_by() {
  local output last
  output=$(mktemp)
  "$1" | tee "$output"
  last=$(tail -n 1 "$output")
  rm -f "$output"
  case $last in
    "ready "*) ready=${last#ready } ;;
    "skipped: "*) exit 0 ;;
    *) exit 1 ;;
  esac
}
