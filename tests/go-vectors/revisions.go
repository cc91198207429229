package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand"

	corev1 "k8s.io/api/core/v1"
	saferand "k8s.io/apimachinery/pkg/util/rand"
	kjson "sigs.k8s.io/json"
)

// setSpec is the part of a LeaderWorkerSet spec that a revision records.
type setSpec struct {
	LeaderWorkerTemplate setTemplate    `json:"leaderWorkerTemplate"`
	NetworkConfig        *networkConfig `json:"networkConfig,omitempty"`
}

type setTemplate struct {
	LeaderTemplate       *corev1.PodTemplateSpec        `json:"leaderTemplate,omitempty"`
	WorkerTemplate       corev1.PodTemplateSpec         `json:"workerTemplate"`
	Size                 *int32                         `json:"size,omitempty"`
	RestartPolicy        string                         `json:"restartPolicy,omitempty"`
	SubGroupPolicy       *subGroupPolicy                `json:"subGroupPolicy,omitempty"`
	VolumeClaimTemplates []corev1.PersistentVolumeClaim `json:"volumeClaimTemplates,omitempty"`
	RetentionPolicy      *retentionPolicy               `json:"persistentVolumeClaimRetentionPolicy,omitempty"`
}

type subGroupPolicy struct {
	Type *string `json:"subGroupPolicyType,omitempty"`
	Size *int32  `json:"subGroupSize,omitempty"`
}

type retentionPolicy struct {
	WhenDeleted string `json:"whenDeleted,omitempty"`
	WhenScaled  string `json:"whenScaled,omitempty"`
}

type networkConfig struct {
	SubdomainPolicy *string `json:"subdomainPolicy"`
}

// revisionData encodes a spec that a user wrote as it ends up in a ControllerRevision: the API
// server reads and stores it without types, a client decodes it into Go types, encodes these, and
// puts the two recorded parts into a map.
func revisionData(written []byte) ([]byte, error) {
	var stored map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(written, &stored); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	wire, err := json.Marshal(stored)
	if err != nil {
		return nil, err
	}
	var typed setSpec
	if err := kjson.UnmarshalCaseSensitivePreserveInts(wire, &typed); err != nil {
		return nil, fmt.Errorf("decode %s: %w", wire, err)
	}
	if typed.NetworkConfig == nil {
		shared := "Shared"
		typed.NetworkConfig = &networkConfig{&shared}
	}
	encoded, err := json.Marshal(typed)
	if err != nil {
		return nil, err
	}
	var spec map[string]map[string]any
	if err := json.Unmarshal(encoded, &spec); err != nil {
		return nil, err
	}
	for _, part := range spec {
		part["$patch"] = "replace"
	}
	return json.Marshal(map[string]any{"spec": spec})
}

func revisionKey(data []byte) string {
	hasher := fnv.New32()
	hasher.Write(data)
	return saferand.SafeEncodeString(fmt.Sprint(hasher.Sum32()))
}

// revisionVectors writes one JSON object a line: the spec as a user wrote it, its data and key.
func revisionVectors(out *bytes.Buffer, random *rand.Rand) error {
	author := newAuthor(random)
	for lines := 0; lines < 350 || author.pending(specType); lines++ {
		spec := author.spec()
		data, err := revisionData(spec)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, `{"key":%q,"spec":%s,"data":`, revisionKey(data), spec)
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(string(data)); err != nil {
			return err
		}
		out.Truncate(out.Len() - 1) // Encode ends a line.
		out.WriteString("}\n")
	}
	return nil
}
