// Each test loads both cores of a small machine by itself.
[assembly: Xunit.CollectionBehavior(DisableTestParallelization = true)]
