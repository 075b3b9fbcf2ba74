# Runs a rank that mpirun starts: sh -c THIS sh FOLDER PROGRAM [ARGUMENT...]. What Launch prepares or reads in FOLDER: the rank's
# output, the cores that it may use, the number of its process, and at the end its exit code, behind those that came before.
rank=${OMPI_COMM_WORLD_RANK-$PMI_RANK}
exits=$1/exits
own=$1/$rank
shift
exec </dev/null >>"$own.out" 2>>"$own.err"
if [ -e "$own.cpus" ] && command -v taskset >/dev/null; then
	taskset -cp "$(cat "$own.cpus")" $$ >/dev/null
fi
trap : TERM INT # meant for the program, whose exit code is still to be told
sh -c 'echo $$ >"$0"; exec "$@"' "$own.pid" "$@"
code=$?
echo "$rank $code" >>"$exits"
case $code in
130 | 143) exit 0 ;; # it has stopped in order: mpirun is not to end the ranks that are still about to
esac
exit $code
