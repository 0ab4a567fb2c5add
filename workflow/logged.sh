# logged LOG COMMAND...: runs a job of the graph with all that it says in its log. Of one that fails, the terminal gets
# its error, or else the end of its log.
logged() {
    "${@:2}" > "$1" 2>&1 || {
        code=$?
        grep --with-filename '^lautum: error' "$1" >&2 || { echo "$1 ends with:"; tail -n 20 "$1"; } >&2
        exit $code
    }
}
trap : TERM USR1 # a scheduler asks the shell to stop, too; it waits for the job, which has a checkpoint to write
