#!/bin/sh
#PBS -S /bin/sh
#PBS -N long
#PBS -l walltime=24:00:00
#PBS -o '/home/ann/my out'
#PBS -v TORQUECKPT_CHAIN=12.srv,TORQUECKPT_FILES=x=ignore
#PBS -W depend=afterany:13.srv
#PBS -l nodes=node7:ppn=2
# Goes on with job 12.srv when 13.srv has ended before its work was done.
# Instead of -l nodes=1:ppn=2: -l nodes=node7:ppn=2
exec /usr/local/bin/torqueckpt link --chain 12.srv
