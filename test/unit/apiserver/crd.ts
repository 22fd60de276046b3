/** A small CRD in the shape of ngrok's. */
export const agentEndpointCrd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: agentendpoints.ngrok.k8s.ngrok.com}
spec:
  group: ngrok.k8s.ngrok.com
  scope: Namespaced
  names:
    plural: agentendpoints
    singular: agentendpoint
    kind: AgentEndpoint
    shortNames: [aep]
    categories: [ngrok]
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      additionalPrinterColumns:
        - {name: URL, type: string, jsonPath: .spec.url}
        - {name: Bindings, type: string, jsonPath: .spec.bindings, priority: 1}
        - {name: Accepted, type: string, jsonPath: '.status.conditions[?(@.type=="Accepted")].status'}
        - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [url]
              properties:
                url: {type: string, description: Where it listens.}
                bindings:
                  type: array
                  maxItems: 1
                  items: {type: string, enum: [kubernetes, internal, public]}
                  default: [public]
                upstream:
                  type: object
                  required: [url]
                  properties:
                    url: {type: string, pattern: '^[a-z]+://'}
                    protocol: {type: string, nullable: true}
                weight: {type: integer, minimum: 0, maximum: 100}
                port: {x-kubernetes-int-or-string: true}
                metadata: {type: object, additionalProperties: {type: string}}
                trafficPolicy:
                  type: object
                  minProperties: 1
                  properties:
                    inline: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`;
