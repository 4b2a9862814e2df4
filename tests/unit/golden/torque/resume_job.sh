#!/bin/sh
#PBS -S /bin/sh
#PBS -N relax
#PBS -l walltime=1:00:00
#PBS -j oe
#PBS -o '/home/ann/my out'
#PBS -c enabled,c=20
#PBS -l nodes=node1:ppn=2
# The image lies on node1 only, so the job is sent there.
# Job 12.srv goes on from its newest image; submit with qsub, or try with: torqueckpt run
cd "$PBS_O_WORKDIR" || exit 125
exec /usr/local/bin/torqueckpt resume 12.srv
