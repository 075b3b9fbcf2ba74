package dist

import (
	"errors"
	"strings"
	"testing"
)

// env looks up variables in "NAME=value NAME=value"; "_" stands for a space.
func env(text string) func(string) string {
	set := map[string]string{}
	for _, v := range strings.Fields(text) {
		name, value, _ := strings.Cut(v, "=")
		set[name] = value
	}
	return func(name string) string { return set[name] }
}

const (
	torchrunOfFour = "RANK=3 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=node0 MASTER_PORT=29500"
	srunOfFour     = "SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_LOCALID=1 SLURM_JOB_ID=70123 SLURM_STEP_ID=0 SLURM_JOB_NODELIST=gpu[07-10,12],cpu1"
	openMPIOfFour  = "OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2 PMIX_RANK=3"
	hydraOfFour    = "PMI_RANK=3 PMI_SIZE=4 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2 PMI_FD=9"
	podOfFour      = "JOB_COMPLETION_INDEX=3 WORLD_SIZE=4 MASTER_ADDR=senet-0.senet MASTER_PORT=29500"
)

func TestFromEnv(t *testing.T) {
	alone := World{Size: 1, LocalSize: 1}
	for name, c := range map[string]struct {
		env  string
		want World
	}{
		"nothing":             {"", alone},
		"torchrun":            {torchrunOfFour, World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "node0:29500", By: ByTorchrun}},
		"torchrun alone":      {"RANK=0 WORLD_SIZE=1 LOCAL_RANK=0", alone},
		"no local rank":       {"RANK=3 WORLD_SIZE=4 MASTER_ADDR=node0 MASTER_PORT=29500", World{Rank: 3, Size: 4, LocalSize: 1, Master: "node0:29500", By: ByTorchrun}},
		"no local size":       {"RANK=3 WORLD_SIZE=4 LOCAL_RANK=2 MASTER_ADDR=node0 MASTER_PORT=29500", World{Rank: 3, Size: 4, LocalRank: 2, LocalSize: 3, Master: "node0:29500", By: ByTorchrun}},
		"IPv6":                {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=fe80::1 MASTER_PORT=1", World{Size: 2, LocalSize: 1, Master: "[fe80::1]:1", By: ByTorchrun}},
		"torchrun's own port": {torchrunOfFour + " TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RUN_ID=7", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "node0:29501", Job: "TORCHELASTIC_RUN_ID=7", By: ByTorchrun}},
		"the last port":       {"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=65535 TORCHELASTIC_USE_AGENT_STORE=True", World{Size: 2, LocalSize: 1, Master: "a:1", By: ByTorchrun}},
		"torchrun in Slurm":   {torchrunOfFour + " SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_STEP_ID=0", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "node0:29500", Job: "SLURM_STEP_ID=0", By: ByTorchrun}},

		"srun": {srunOfFour, World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "gpu07:20123", Job: "SLURM_JOB_ID=70123 SLURM_STEP_ID=0", By: BySlurm}},
		"srun of a part": {
			srunOfFour + " SLURM_STEP_NUM_TASKS=6 SLURM_STEP_NODELIST=cpu1 SLURM_STEP_TASKS_PER_NODE=1(x2),4 SLURM_NODEID=2 MASTER_PORT=99",
			World{Rank: 3, Size: 6, LocalRank: 1, LocalSize: 4, Master: "cpu1:99", Job: "SLURM_JOB_ID=70123 SLURM_STEP_ID=0", By: BySlurm},
		},
		"srun with a master":  {srunOfFour + " MASTER_ADDR=b MASTER_PORT=8", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "b:8", Job: "SLURM_JOB_ID=70123 SLURM_STEP_ID=0", By: BySlurm}},
		"srun without a list": {"SLURM_PROCID=0 SLURM_NTASKS=2 SLURM_JOB_ID=5 SLURM_LAUNCH_NODE_IPADDR=10.0.0.7", World{Size: 2, LocalSize: 1, Master: "10.0.0.7:20005", Job: "SLURM_JOB_ID=5", By: BySlurm}},
		"srun with a PMI":     {srunOfFour + " PMI_RANK=3 PMI_SIZE=4", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "gpu07:20123", Job: "SLURM_JOB_ID=70123 SLURM_STEP_ID=0", By: BySlurm}},
		"srun with PMIx":      {srunOfFour + " PMIX_RANK=3", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "gpu07:20123", Job: "SLURM_JOB_ID=70123 SLURM_STEP_ID=0", By: BySlurm}},
		"a batch script":      {"SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_LOCALID=0 SLURM_JOB_ID=7 ENVIRONMENT=BATCH", alone},
		"within salloc":       {"SLURM_NTASKS=4 SLURM_JOB_ID=7", alone},

		"Open MPI":           {openMPIOfFour, World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, By: ByMPI}},
		"Open MPI alone":     {"OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1", alone},
		"Open MPI in Slurm":  {openMPIOfFour + " SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_STEP_ID=0", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, By: ByMPI}},
		"Open MPI, torchrun": {openMPIOfFour + " " + torchrunOfFour, World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, Master: "node0:29500", By: ByMPI}},
		"MPICH":              {hydraOfFour, World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, By: ByMPI}},
		"MPICH in Slurm":     {hydraOfFour + " SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_STEP_ID=0", World{Rank: 3, Size: 4, LocalRank: 1, LocalSize: 2, By: ByMPI}},

		"a pod":                  {podOfFour, World{Rank: 3, Size: 4, LocalSize: 1, Master: "senet-0.senet:29500", By: ByTorchrun}},
		"a pod with a rank":      {podOfFour + " RANK=2", World{Rank: 2, Size: 4, LocalSize: 1, Master: "senet-0.senet:29500", By: ByTorchrun}},
		"a pod of other work":    {"JOB_COMPLETION_INDEX=3", alone},
		"an address and no rank": {"MASTER_ADDR=a MASTER_PORT=1", alone},
	} {
		have, err := FromEnv(env(c.env))
		if have.Host == "" || err != nil {
			t.Errorf("%s: host %q, %v", name, have.Host, err)
		}
		have.Host = ""
		if have != c.want {
			t.Errorf("%s:\nhave %+v\nwant %+v", name, have, c.want)
		}
	}
}

func TestFromEnvRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"WORLD_SIZE=4": "RANK is not set, but WORLD_SIZE is",
		"RANK=1":       "WORLD_SIZE is not set, but RANK is",
		"RANK=4 WORLD_SIZE=4 MASTER_ADDR=a MASTER_PORT=1":                "RANK=4: want less than WORLD_SIZE=4",
		"RANK=-1 WORLD_SIZE=4":                                           `RANK="-1"`,
		"RANK=0 WORLD_SIZE=0":                                            `WORLD_SIZE="0"`,
		"RANK=0 WORLD_SIZE=two":                                          `WORLD_SIZE="two"`,
		"RANK=0 WORLD_SIZE=99999999999":                                  `WORLD_SIZE="99999999999"`,
		"RANK=1 WORLD_SIZE=4 LOCAL_RANK=2":                               "LOCAL_RANK=2: want at most RANK=1",
		"RANK=3 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2":            "LOCAL_RANK=2: want less than LOCAL_WORLD_SIZE=2",
		"RANK=3 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=5":            "LOCAL_WORLD_SIZE=5: want at most WORLD_SIZE=4",
		"RANK=0 WORLD_SIZE=2 MASTER_PORT=1":                              "MASTER_ADDR is not set",
		"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a":                              `MASTER_PORT=""`,
		"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=65536":            `MASTER_PORT="65536"`,
		"RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=0":                `MASTER_PORT="0"`,
		"OMPI_COMM_WORLD_RANK=0":                                         "OMPI_COMM_WORLD_SIZE is not set, but OMPI_COMM_WORLD_RANK is",
		"PMI_SIZE=2":                                                     "PMI_RANK is not set, but PMI_SIZE is",
		"PMIX_RANK=0":                                                    "PMIX_RANK is set",
		openMPIOfFour + " RANK=2 WORLD_SIZE=4":                           "OMPI_COMM_WORLD_RANK makes this rank 3 of 4, RANK makes it 2 of 4",
		openMPIOfFour + " RANK=3 WORLD_SIZE=8":                           "RANK makes it 3 of 8",
		hydraOfFour + " OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4":   "OMPI_COMM_WORLD_RANK makes this rank 1 of 4, PMI_RANK makes it 3 of 4",
		"SLURM_PROCID=0 SLURM_STEP_ID=0":                                 "SLURM_NTASKS is not set, but SLURM_PROCID is",
		"SLURM_PROCID=2 SLURM_NTASKS=2 SLURM_JOB_NODELIST=a":             "SLURM_PROCID=2: want less than SLURM_NTASKS=2",
		"SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_JOB_NODELIST=a":             "SLURM_JOB_ID",
		"SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_JOB_ID=7":                   "MASTER_ADDR is not set",
		"SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_JOB_ID=7 SLURM_NODELIST=a[": "MASTER_ADDR is not set",
		"JOB_COMPLETION_INDEX=4 WORLD_SIZE=4 MASTER_ADDR=a":              "JOB_COMPLETION_INDEX=4: want less than WORLD_SIZE=4",
	} {
		w, err := FromEnv(env(text))
		if err == nil || !errors.Is(err, ErrEnvironment) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want an error with %q", text, w, err, want)
		}
	}
}

func TestFirstHost(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "a": "a", "a,b": "a", "a[1-3]": "a1", "a[01,3-4],b": "a01", "r[1-2]n[07-9]x,c": "r1n07x", "a-b[3],c": "a-b3", "a[1-2": "", "a-1.b,c": "a-1.b",
	} {
		if have := firstHost(list); have != want {
			t.Errorf("%q: %q, want %q", list, have, want)
		}
	}
}

func TestTasksOnNode(t *testing.T) {
	for _, c := range []struct {
		list, node string
		want       int
	}{
		{"8", "0", 8},
		{"8(x2),3", "1", 8},
		{"8(x2),3", "2", 3},
		{"8(x2),3", "3", -1},
		{"8", "", -1},
		{"", "0", -1},
		{"8(xx),3", "0", -1},
		{"0", "0", -1},
	} {
		if have := tasksOnNode(c.list, c.node); have != c.want {
			t.Errorf("%+v: %d", c, have)
		}
	}
}
