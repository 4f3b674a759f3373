package io.shardlake.flink;

import org.apache.flink.metrics.Counter;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/** LATE(table): the table's name, counted in the metric late_events once for each row that it is asked for. */
public class Late extends ScalarFunction {
    private transient Counter lateEvents;

    @Override
    public void open(FunctionContext context) {
        lateEvents = context.getMetricGroup().counter("late_events");
    }

    public String eval(String table) {
        lateEvents.inc();
        return table;
    }

    @Override
    public boolean isDeterministic() {
        return false; // of a constant the planner would ask once, itself
    }
}
