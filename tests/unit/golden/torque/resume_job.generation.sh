#!/bin/sh
#PBS -S /bin/sh
#PBS -N relax
#PBS -l nodes=1:ppn=2
#PBS -l walltime=1:00:00
#PBS -j oe
#PBS -o '/home/ann/my out'
#PBS -c enabled,c=20
# Not asked for again: -W depend=afterok:11.srv
# Not asked for again: -a 1200
# Not asked for again: -t 1-3
# Job 12.srv goes on from generation 2; submit with qsub, or try with: torqueckpt run
cd "$PBS_O_WORKDIR" || exit 125
exec /usr/local/bin/torqueckpt resume --generation 2 12.srv
