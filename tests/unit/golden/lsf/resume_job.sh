#!/bin/sh
#BSUB -q guests
#BSUB -W 8:00
#BSUB -R 'rusage[mem=4000] select[type==any]'
#BSUB -J 'my job'
#BSUB -n 4
#BSUB -M 4000000
#BSUB -P atlas
#BSUB -o /home/ann/out.%J
#BSUB -m node1
# The image lies on node1 only, so the job is sent there.
# Job 101 goes on from its newest image; submit with: bsub < resume_job.sh
cd "${LS_SUBCWD:-.}" || exit 125
exec /usr/local/bin/torqueckpt resume 101
