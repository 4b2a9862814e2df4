#!/bin/sh
#PBS -S /bin/sh
#PBS -N relax
#PBS -q long
#PBS -c enabled,c=20
#PBS -l nodes=node1
#PBS -t 3,7
# The image lies on node1 only, so the job is sent there.
# Members of 12[].srv that did not finish go on from their newest images; submit with qsub
cd "$PBS_O_WORKDIR" || exit 125
case "${PBS_ARRAY_INDEX:-$PBS_ARRAYID}" in
3) job='12[3].srv' ;;
7) job='12[7].srv' ;;
*) echo "torqueckpt: not submitted as the array that this script asks for" >&2; exit 125 ;;
esac
exec /usr/local/bin/torqueckpt resume --accept-changed-files "$job"
