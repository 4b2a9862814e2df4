#!/bin/sh
# A chain of jobs: what runs is the script below, after the exec.
#PBS -N long
# said by hand
#PBS -l nodes=1:ppn=2,walltime=24:00:00
exec /usr/local/bin/torqueckpt link -- "$@" 3<<'THE-JOBS-OWN-SCRIPT-'
#!/bin/bash -l
#PBS -N long
# said by hand
#PBS -l nodes=1:ppn=2,walltime=24:00:00

cd "$PBS_O_WORKDIR"
#PBS -q other
cat <<'EOF' | ./solve "$1"
THE-JOBS-OWN-SCRIPT
EOF
THE-JOBS-OWN-SCRIPT-
